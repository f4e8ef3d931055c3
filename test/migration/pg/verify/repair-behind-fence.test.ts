/**
 * `pontoon verify --repair` after a cutover: rows of the source, which is fenced, are made equal to
 * those of the target, and the sync that is kept for the next cutover does not carry that back.
 */
import { Client } from 'pg'
import tap from 'tap'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { travelMs } from '../../../../src/migration/pg/beats.ts'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import { totalOf } from '../../../../src/migration/pg/verify/report.ts'
import { verifyService } from '../../../../src/migration/pg/verify/verify-service.ts'
import type { SqlClient } from '../../../../src/net/pg/sql-client.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { createLog } from '../../../../src/control/logging.ts'
import type { Side } from '../../../../src/shared/side.ts'
import type { PostgresServer } from '../../../support/postgres.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { runSwitch } from '../../../support/switch-operation.ts'

tap.setTimeout(280_000)

await tap.test('rows of the fenced source are repaired', async (t) => {
  // Roles as a managed service has them, and both directions of sync at once.
  const pair = await SwitchPair.start({ source: 18, target: 18, managed: true })
  t.teardown(() => pair.stop())
  const connect = (side: Side): Promise<SqlClient> =>
    connectAs(pair.context, { side, purpose: 'control', task: 'test' })
  const { config, configFile, context, folder, source, target } = pair
  const log = createLog('error', { write: (line) => process.stderr.write(line) })
  const files = { config, configFiles: [configFile] }
  const runtime = await startRuntime({ ...files, log, clock: systemClock })
  t.teardown(() => runtime.stop('test', 0))
  const cutover = await runSwitch(pair.adminUrl, 'cutover')
  t.equal(cutover.state, 'done', cutover.report?.reason ?? '')

  const verify = { context, stateFolder: `${folder}/state`, withSchema: false } as const
  const rows = 'SELECT id, balance FROM accounts ORDER BY id'
  const versions = 'SELECT id, xmin::text FROM accounts ORDER BY id'
  const before = await target.query(versions, 'shop')
  // As an administrator, whom no fence holds back, and so that no sync carries it to the target.
  await source.query("SELECT pg_replication_origin_create('rot')")
  await source.query(
    `SET default_transaction_read_only = off; COMMIT; SELECT pg_replication_origin_session_setup('rot');
     UPDATE accounts SET balance = 7 WHERE id = 1; DELETE FROM accounts WHERE id = 2;
     INSERT INTO accounts VALUES (1001, 1)`,
    'shop',
  )
  const { data: looked } = await verifyService(verify)
  t.match(totalOf(looked.tables), { differing: 3, repaired: 0 })

  for (const right of ['session_replication_role', 'pg_replication_origin_session_setup']) {
    const refusal = await refused(verifyService({ ...verify, repair: true }))
    t.match(refusal, right)
    await asSuperuser(
      source,
      /(?:SET default|GRANT)[^:]*?(?=; on Amazon|$)/.exec(refusal)?.[0] ?? '',
    )
  }
  const { data, result } = await verifyService({ ...verify, repair: true })
  t.match(totalOf(data.tables), { differing: 3, repaired: 3 })
  t.same(data.tables.flatMap(({ repairs }) => repairs.map(({ action }) => action)).toSorted(), [
    'deleted',
    'inserted',
    'updated',
  ])
  t.equal(result, 'equal')
  t.equal((await verifyService(verify)).result, 'equal', 'and stays so')
  t.same(await source.query(rows, 'shop'), await target.query(rows, 'shop'))

  const [from, to] = [await connect('source'), await connect('target')]
  t.teardown(() => [from, to].forEach((client) => client.close()))
  await travelMs(from, to, 'forward', { timeoutMs: 20_000 })
  t.same(await target.query(versions, 'shop'), before, 'what was repaired has not come back')
  const errors = 'SELECT sum(apply_error_count)::int AS sum FROM pg_stat_subscription_stats'
  t.same(await target.query(errors), [{ sum: 0 }])

  await t.rejects(new Client(source.url('shop', 'app', 'app')).connect(), { code: '42501' })
  const application = new Client(pair.url())
  await application.connect()
  await application.query('UPDATE accounts SET balance = 1 WHERE id = 2')
  await application.end()
  t.equal((await verifyService(verify)).result, 'equal', 'sync goes on to what was repaired')
  const rollback = await runSwitch(pair.adminUrl, 'rollback')
  t.equal(rollback.state, 'done', rollback.report?.reason ?? '')
})

async function refused(asked: Promise<unknown>): Promise<string> {
  return await asked.then(JSON.stringify, String)
}

/** What a refusal says to do, as psql does it: statement by statement. */
async function asSuperuser(server: PostgresServer, sql: string): Promise<void> {
  const client = new Client(server.url('shop'))
  await client.connect()
  try {
    for (const statement of sql.split('; ')) await client.query(statement)
  } finally {
    await client.end()
  }
}
