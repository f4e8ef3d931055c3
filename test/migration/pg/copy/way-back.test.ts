/**
 * Where both servers are 16 or newer the way back stays once it was made, by a rehearsal of a
 * cutover or by one that was rolled back. What a copy empties and fills must not travel on it.
 */
import tap from 'tap'
import { z } from 'zod'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { writeMarkSql } from '../../../../src/migration/pg/control-schema.ts'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import { switchLockKeys } from '../../../../src/migration/pg/switch/lock.ts'
import { planDrop } from '../../../../src/migration/pg/sync/drop.ts'
import { openSyncJob } from '../../../../src/migration/pg/sync/job.ts'
import type { SqlClient } from '../../../../src/net/pg/sql-client.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { CopyCommand } from '../../../support/copy-command.ts'
import { accountsCount, SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(180_000)

await tap.test('behind a rehearsed cutover', async (whole) => {
  const pair = await SwitchPair.start({ source: 16, target: 17 })
  whole.teardown(() => pair.stop())
  const runtime = await startRuntime({
    config: pair.config,
    configFiles: [pair.configFile],
    log: createLog('error', { write: (line) => process.stderr.write(line) }),
    clock: systemClock,
  })
  whole.teardown(() => runtime.stop('the test is over', 0))
  const slots = (): Promise<readonly object[]> =>
    pair.target.query('SELECT slot_name, active FROM pg_replication_slots')
  const rehearse = async (): Promise<void> => {
    const asked = await fetch(`${pair.adminUrl}/v1/services/orders/cutover`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ dryRun: true }),
    })
    const { id } = z.object({ id: z.string() }).parse(await asked.json())
    const ended = async (): Promise<boolean> => {
      const answer = await fetch(`${pair.adminUrl}/v1/operations/${id}`)
      return z.object({ state: z.string() }).parse(await answer.json()).state === 'done'
    }
    await until(ended, 'it is rehearsed', 60_000)
    whole.match(await slots(), [{ slot_name: 'pontoon_orders_reverse', active: true }])
  }
  const counted = 'SELECT count(*)::int AS count FROM accounts'
  const rows = [{ count: accountsCount }]
  const followed = (): Promise<readonly object[]> =>
    pair.target.query('SELECT subname FROM pg_subscription')
  /** A session that has the lock of a switch. */
  const switching = async (): Promise<SqlClient> => {
    const login = { side: 'target', purpose: 'control', task: 'switch' } as const
    const client = await connectAs(pair.context, login)
    await client.run(`SELECT pg_advisory_lock(${switchLockKeys})`)
    return client
  }

  await whole.test('no copy begins while a switch may make it', async (t) => {
    const other = await switching()
    t.teardown(() => other.close())
    const command = new CopyCommand(pair.context)
    t.teardown(() => command.remove())
    const { exit, err } = await command.run('--restart')
    t.equal(exit, 3)
    t.match(err, /target is locked by pontoon switch/)
    t.same(await pair.target.query(counted, 'shop'), rows)
    t.same(await followed(), [{ subname: 'pontoon_orders_forward' }], 'the sync goes on')
  })

  await whole.test('nor once that switch has moved the writes', async (t) => {
    const other = await switching()
    t.teardown(() => other.close())
    const command = new CopyCommand(pair.context)
    t.teardown(() => command.remove())
    const running = await command.start('--restart')
    const lock = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 1886351988"
    await until(async () => (await pair.source.query(lock)).length > 0, 'it waits for the target')
    await other.run(writeMarkSql({ epoch: 2, primary: 'target' }))
    other.close()
    const { exit, err } = await running.ended
    t.equal(exit, 3)
    t.match(err, /The target takes the writes/)
    t.same(await pair.target.query(counted, 'shop'), rows)
    t.same(await followed(), [{ subname: 'pontoon_orders_forward' }])
    await pair.target.query(
      `BEGIN READ WRITE; ${writeMarkSql({ epoch: 1, primary: 'source' })}; COMMIT`,
      'shop',
    )
    const again = await command.run('--restart')
    t.equal(again.exit, 0, again.err)
  })

  await whole.test('a copy leaves the source as it is', async (t) => {
    await rehearse()
    const command = new CopyCommand(pair.context)
    t.teardown(() => command.remove())
    const { exit, err } = await command.run('--restart')
    t.equal(exit, 0, err)
    t.match(err, /way back is taken away/)
    t.same(await pair.source.query(counted, 'shop'), rows)
    t.same(await pair.target.query(counted, 'shop'), rows)
    t.same(await slots(), [])
  })

  await whole.test('sync --drop takes the way back away', async (t) => {
    await rehearse()
    const job = await openSyncJob(pair.context)
    t.teardown(() => job.close())
    const { steps, refusals } = await planDrop(job)
    t.same(refusals, [])
    for (const step of steps) await step.run()
    t.same(await pair.source.query('SELECT subname FROM pg_subscription'), [])
    t.same(await slots(), [])
    await pair.target.query('BEGIN READ WRITE; TRUNCATE accounts; COMMIT', 'shop')
    t.same(await pair.source.query(counted, 'shop'), rows)
  })
})
