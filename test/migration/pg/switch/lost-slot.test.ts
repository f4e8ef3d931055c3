/** A replication slot that is lost: before a cutover the sync forward, after it the way back. */
import tap from 'tap'
import { otherSide, type Side } from '../../../../src/shared/side.ts'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a replication slot that is lost', async (whole) => {
  const operated = await OperatedPair.start(whole, { source: 18, target: 18 })
  const { pair } = operated
  const { source, target } = pair
  const rows = `SELECT id, balance FROM accounts ORDER BY id`
  /** While its subscription is switched off, as if the way between the servers were shut. */
  async function loseSlot(side: Side, name: string, meanwhile: string): Promise<void> {
    await operated.onSide(otherSide(side), `ALTER SUBSCRIPTION ${name} DISABLE`)
    await operated.application(meanwhile)
    const server = pair[side]
    for (const setting of ["max_slot_wal_keep_size = '1MB'", "max_wal_size = '32MB'"])
      await server.query(`ALTER SYSTEM SET ${setting}`)
    await server.query('SELECT pg_reload_conf()')
    await until(
      async () => {
        await server.query(
          "SELECT pg_logical_emit_message(false, '', repeat('x', 9000000)), pg_switch_wal()",
        )
        await server.query('CHECKPOINT')
        const [slot] = await server.query(
          `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${name}'`,
        )
        return slot?.['wal_status'] === 'lost'
      },
      'the slot is given up',
      30_000,
    )
    await server.query('ALTER SYSTEM RESET max_slot_wal_keep_size')
    await server.query('SELECT pg_reload_conf()')
    await operated.onSide(otherSide(side), `ALTER SUBSCRIPTION ${name} ENABLE`)
  }

  await whole.test('before a cutover', async (t) => {
    await loseSlot('source', 'pontoon_orders_forward', 'UPDATE accounts SET balance = 1')
    await operated.told(/slot +NO .*was given up by its server/)
    const refused = await operated.ask('cutover')
    t.equal(refused.exit, 3, refused.out)
    t.match(
      refused.out + refused.err,
      /source has given up the slot .*missing on the target: pontoon sync orders --drop --yes, then pontoon copy orders --restart/s,
    )
    t.same(await source.query('SELECT FROM pg_subscription'), [], 'nothing was made')
    const sync = await operated.run('sync')
    t.equal(sync.exit, 3)
    t.match(
      sync.out,
      /slot is gone or was given up .*--drop --yes, then pontoon copy SERVICE --restart/s,
    )

    t.equal((await operated.run('sync', '--drop', '--yes')).exit, 0)
    await operated.copy('--restart')
    t.same(await target.query(rows, 'shop'), await source.query(rows, 'shop'))
    const cutover = await operated.patiently('cutover')
    t.equal(cutover.exit, 0, cutover.out + cutover.err)
  })

  await whole.test('after it', async (t) => {
    const changes =
      'UPDATE accounts SET balance = 2 WHERE id < 9; DELETE FROM accounts WHERE id = 9'
    await loseSlot('target', 'pontoon_orders_reverse', changes)
    const before = await source.query(rows, 'shop')
    const status = await operated.told(/slot +NO .*was given up by its server/)
    t.match(status, /rollback ready +no/)
    t.match(status, /to do .*pontoon sync SERVICE makes the way back anew, then pontoon verify/)
    const refused = await operated.ask('rollback')
    t.equal(refused.exit, 3)
    t.match(
      refused.out,
      /target has given up the slot .*pontoon sync orders makes the way back anew/,
    )

    const sync = await operated.run('sync')
    t.equal(sync.exit, 0, sync.out + sync.err)
    t.match(sync.out, /missed +NO .*pontoon verify SERVICE --repair/)
    t.match(await operated.told(/stream +yes.*missed +NO/s), /rollback ready +no/)
    const early = await operated.ask('rollback')
    t.equal(early.exit, 3)
    t.match(early.out, /REFUSED missed: .*pontoon verify orders --repair/)
    const forced = await operated.ask('rollback', '--primary-lost')
    t.match(forced.out, /missed: .*is missing on the source/)
    t.equal((await operated.run('verify')).exit, 1)
    t.same(await source.query(rows, 'shop'), before, 'nothing was written so far')

    const verify = await operated.run('verify', '--repair')
    t.equal(verify.exit, 0, verify.out + verify.err)
    t.match(await operated.told(/missed +yes/), /rollback ready +yes/)
    // That of the next cutover, which has nothing to send until then.
    await operated.onSide('target', 'ALTER SUBSCRIPTION pontoon_orders_forward DISABLE')
    await source.query("SELECT pg_drop_replication_slot('pontoon_orders_forward')")
    await operated.application('UPDATE accounts SET balance = 3 WHERE id = 1')
    const rollback = await operated.patiently('rollback')
    t.equal(rollback.exit, 0, rollback.out + rollback.err)
    t.same(await source.query(rows, 'shop'), await target.query(rows, 'shop'))
    await operated.application('UPDATE accounts SET balance = 4 WHERE id = 1')
    const again = await operated.patiently('cutover')
    t.equal(again.exit, 0, again.out + again.err)
    t.same(await operated.application('SELECT balance FROM accounts WHERE id < 3 ORDER BY id'), [
      { balance: 4 },
      { balance: 2 },
    ])
  })

  await whole.test('whose subscription is dropped', async (t) => {
    await operated.loseSubscription('source', 'pontoon_orders_reverse')
    await operated.application('UPDATE accounts SET balance = 5 WHERE id < 5')
    const status = await operated.told(
      /to do .*pontoon sync SERVICE makes the way back anew, then pontoon/,
    )
    t.match(status, /stream +NO /)
    const refused = await operated.ask('rollback')
    t.equal(refused.exit, 3)
    t.match(refused.out, /REFUSED sync: .*pontoon sync orders makes the way back anew/)

    const sync = await operated.run('sync')
    t.equal(sync.exit, 0, sync.out + sync.err)
    t.match(sync.out, /missed +NO .*pontoon verify SERVICE --repair/)
    t.match(
      (await operated.ask('rollback')).out,
      /REFUSED missed: .*pontoon verify orders --repair/,
    )
    const verify = await operated.run('verify', '--repair')
    t.equal(verify.exit, 0, verify.out + verify.err)
    await operated.told(/rollback ready +yes/)
    t.equal((await operated.patiently('rollback')).exit, 0)
    t.same(await source.query(rows, 'shop'), await target.query(rows, 'shop'))
  })
})
