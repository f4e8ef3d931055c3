/** A replication slot that is lost: before a cutover the sync forward, after it the way back. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Client } from 'pg'
import tap from 'tap'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { otherSide, type Side } from '../../../../src/shared/side.ts'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { programArgs } from '../../../support/program.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a replication slot that is lost', async (whole) => {
  const pair = await SwitchPair.start({ source: 18, target: 18 })
  whole.teardown(() => pair.stop())
  const { config, configFile, source, target } = pair
  for (const server of [source, target]) await server.query('GRANT pg_read_all_data TO reader')
  const log = createLog('error', { write: (line) => process.stderr.write(line) })
  const runtime = await startRuntime({ config, configFiles: [configFile], log, clock: systemClock })
  whole.teardown(() => runtime.stop('test', 0))
  const run = (name: string, ...args: string[]): Promise<Captured> =>
    pontoon([name, 'orders', '--config', configFile, ...args])
  const ask = (name: string, ...args: string[]): Promise<Captured> =>
    pontoon([name, 'orders', '--admin', pair.adminUrl, ...args])
  const patiently = (name: 'cutover' | 'rollback'): Promise<Captured> =>
    ask(name, '--deadline', '30s')
  const application = async (sql: string): Promise<unknown[]> => {
    const client = new Client(pair.url())
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }
  /** By an administrator, behind a fence too. */
  const onSide = (side: Side, sql: string): Promise<object[]> =>
    pair[side].query(`SET default_transaction_read_only = off; COMMIT; ${sql}`, 'shop')
  const rows = `SELECT id, balance FROM accounts ORDER BY id`
  /** What `pontoon status` says once it says so. */
  const told = async (words: RegExp): Promise<string> => {
    let { out, err } = await ask('status')
    const isTold = async (): Promise<boolean> => {
      ;({ out, err } = await ask('status'))
      return words.test(out)
    }
    await until(isTold, String(words), 20_000).catch((error: unknown) => {
      throw new Error(`${String(error)} in ${out}${err}`)
    })
    return out
  }

  /** While its subscription is switched off, as if the way between the servers were shut. */
  async function loseSlot(side: Side, name: string, meanwhile: string): Promise<void> {
    await onSide(otherSide(side), `ALTER SUBSCRIPTION ${name} DISABLE`)
    await application(meanwhile)
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
    await onSide(otherSide(side), `ALTER SUBSCRIPTION ${name} ENABLE`)
  }

  await whole.test('before a cutover', async (t) => {
    await loseSlot('source', 'pontoon_orders_forward', 'UPDATE accounts SET balance = 1')
    await told(/slot +NO .*was given up by its server/)
    const refused = await ask('cutover')
    t.equal(refused.exit, 3, refused.out)
    t.match(
      refused.out + refused.err,
      /source has given up the slot .*missing on the target: pontoon sync orders --drop --yes, then pontoon copy orders --restart/s,
    )
    t.same(await source.query('SELECT FROM pg_subscription'), [], 'nothing was made')
    const sync = await run('sync')
    t.equal(sync.exit, 3)
    t.match(
      sync.out,
      /slot is gone or was given up .*--drop --yes, then pontoon copy SERVICE --restart/s,
    )

    t.equal((await run('sync', '--drop', '--yes')).exit, 0)
    const line = [...programArgs('src/main.ts'), 'copy', 'orders', '--config', configFile]
    await promisify(execFile)(process.execPath, [...line, '--restart'])
    t.same(await target.query(rows, 'shop'), await source.query(rows, 'shop'))
    const cutover = await patiently('cutover')
    t.equal(cutover.exit, 0, cutover.out + cutover.err)
  })

  await whole.test('after it', async (t) => {
    const changes =
      'UPDATE accounts SET balance = 2 WHERE id < 9; DELETE FROM accounts WHERE id = 9'
    await loseSlot('target', 'pontoon_orders_reverse', changes)
    const before = await source.query(rows, 'shop')
    const status = await told(/slot +NO .*was given up by its server/)
    t.match(status, /rollback ready +no/)
    t.match(status, /to do .*pontoon sync SERVICE makes the way back anew, then pontoon verify/)
    const refused = await ask('rollback')
    t.equal(refused.exit, 3)
    t.match(
      refused.out,
      /target has given up the slot .*pontoon sync orders makes the way back anew/,
    )

    const sync = await run('sync')
    t.equal(sync.exit, 0, sync.out + sync.err)
    t.match(sync.out, /missed +NO .*pontoon verify SERVICE --repair/)
    t.match(await told(/stream +yes.*missed +NO/s), /rollback ready +no/)
    const early = await ask('rollback')
    t.equal(early.exit, 3)
    t.match(early.out, /REFUSED missed: .*pontoon verify orders --repair/)
    const forced = await ask('rollback', '--primary-lost')
    t.match(forced.out, /missed: .*is missing on the source/)
    t.equal((await run('verify')).exit, 1)
    t.same(await source.query(rows, 'shop'), before, 'nothing was written so far')

    const verify = await run('verify', '--repair')
    t.equal(verify.exit, 0, verify.out + verify.err)
    t.match(await told(/missed +yes/), /rollback ready +yes/)
    // That of the next cutover, which has nothing to send until then.
    await onSide('target', 'ALTER SUBSCRIPTION pontoon_orders_forward DISABLE')
    await source.query("SELECT pg_drop_replication_slot('pontoon_orders_forward')")
    await application('UPDATE accounts SET balance = 3 WHERE id = 1')
    const rollback = await patiently('rollback')
    t.equal(rollback.exit, 0, rollback.out + rollback.err)
    t.same(await source.query(rows, 'shop'), await target.query(rows, 'shop'))
    await application('UPDATE accounts SET balance = 4 WHERE id = 1')
    const again = await patiently('cutover')
    t.equal(again.exit, 0, again.out + again.err)
    t.same(await application('SELECT balance FROM accounts WHERE id < 3 ORDER BY id'), [
      { balance: 4 },
      { balance: 2 },
    ])
  })

  await whole.test('whose subscription is dropped', async (t) => {
    const name = 'pontoon_orders_reverse'
    const alter = `ALTER SUBSCRIPTION ${name}`
    await onSide(
      'source',
      `${alter} DISABLE; ${alter} SET (slot_name = NONE); DROP SUBSCRIPTION ${name}`,
    )
    await application('UPDATE accounts SET balance = 5 WHERE id < 5')
    const status = await told(/to do .*pontoon sync SERVICE makes the way back anew, then pontoon/)
    t.match(status, /stream +NO /)
    const refused = await ask('rollback')
    t.equal(refused.exit, 3)
    t.match(refused.out, /REFUSED sync: .*pontoon sync orders makes the way back anew/)

    const sync = await run('sync')
    t.equal(sync.exit, 0, sync.out + sync.err)
    t.match(sync.out, /missed +NO .*pontoon verify SERVICE --repair/)
    t.match((await ask('rollback')).out, /REFUSED missed: .*pontoon verify orders --repair/)
    const verify = await run('verify', '--repair')
    t.equal(verify.exit, 0, verify.out + verify.err)
    await told(/rollback ready +yes/)
    t.equal((await patiently('rollback')).exit, 0)
    t.same(await source.query(rows, 'shop'), await target.query(rows, 'shop'))
  })
})
