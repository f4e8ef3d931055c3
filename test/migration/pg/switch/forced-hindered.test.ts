/** What stands in the way of a forced switch on the side that is there; see forced.test.ts. */
import { Client } from 'pg'
import tap from 'tap'
import {
  forced,
  lossOf,
  startForcedSwitches,
  stateOf,
  write,
} from '../../../support/forced-switches.ts'
import type { PostgresServer } from '../../../support/postgres.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a forced switch while a dump runs', async (t) => {
  const { pair, logged } = await startForcedSwitches(t)
  await pair.source.query("ALTER ROLE control PASSWORD 'forgotten'")
  const dumpOfTarget = await dump(pair.target)
  await pair.source.kill9()
  const done = await forced(pair, 'cutover')
  t.equal(done.state, 'done', done.report?.reason ?? '')
  t.ok((done.report?.pauseMs ?? 60_000) < 10_000, `clients waited ${done.report?.pauseMs} ms`)
  await dumpOfTarget.end()

  await pair.source.restart()
  const dumpOfSource = await dump(pair.source)
  await pair.source.query("ALTER ROLE control PASSWORD 'control'")
  await until(
    () => logged.some((line) => line.includes('is back and was fenced')),
    'the source is told while somebody rescues its rows',
    20_000,
  )
  await dumpOfSource.end()
})

await tap.test('whose pending switch opens its new side for a moment', async (t) => {
  const made = await startForcedSwitches(t)
  const { pair } = made
  const { target } = pair
  let isDead = false
  let isForcing = false
  let letEnd = nothing
  const toEnd = new Promise<void>((resolve) => (letEnd = resolve))
  made.before = async (step) => {
    if (step === 'unfence' && !isDead) {
      await target.kill9()
      isDead = true
    }
    // That of the cutover, which would be over otherwise.
    if (step === 'cleanup') await toEnd
    if (step === 'start' && isDead && !isForcing) {
      isForcing = true
      await target.restart()
      await write(pair)
      await target.kill9()
    }
    if (step === 'gate' && isForcing) letEnd()
  }
  const stuck = runSwitch(pair.adminUrl, 'cutover', {}, 120_000)
  await until(() => isDead, 'the target is dead', 30_000)
  const first = await forced(pair, 'rollback')
  t.match(lossOf(first), /nothing is lost/, 'it had never opened when that was looked at')
  t.match(first, { state: 'aborted', report: { reason: /target has opened meanwhile/ } })
  t.match(await stuck, { state: 'failed' })
  t.equal(stateOf(pair).routes.get('orders')?.primary, 'target')
  const second = await forced(pair, 'rollback', { dryRun: true })
  t.match(lossOf(second), /may be missing/)
})

function nothing(): void {
  return undefined
}

await tap.test('a sequence that may not be set, or whose values may not be read', async (t) => {
  const { pair } = await startForcedSwitches(t, { managed: true })
  const made = `SET default_transaction_read_only = off; COMMIT; CREATE ROLE other;
    CREATE TABLE theirs (id int); CREATE SEQUENCE of_others OWNED BY theirs.id;
    CREATE SEQUENCE set_by_none;
    ALTER TABLE theirs OWNER TO other; ALTER SEQUENCE set_by_none OWNER TO other`
  await pair.target.query(made, 'shop')
  // From 14 on the control role reads everything anyway.
  await pair.target.query('REVOKE pg_read_all_data FROM control GRANTED BY administrator')
  await pair.source.kill9()
  const refused = await forced(pair, 'cutover')
  t.match(refused, {
    state: 'refused',
    report: { reason: /may not .*\(public\.of_others, public\.set_by_none, public\.theirs\.id\)/ },
  })
  await pair.target.query('GRANT other TO control')
  const done = await forced(pair, 'cutover')
  t.equal(done.state, 'done', done.report?.reason ?? '')
})

/** As pg_dump holds every table that it is to read. */
async function dump(server: PostgresServer): Promise<Client> {
  const client = new Client(server.url('shop', 'reader', 'reader'))
  client.on('error', () => undefined)
  await client.connect()
  await client.query('BEGIN; LOCK TABLE pontoon.mark IN ACCESS SHARE MODE')
  return client
}
