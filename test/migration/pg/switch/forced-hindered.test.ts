/** What stands in the way of a forced switch on the side that is there; see forced.test.ts. */
import { Client } from 'pg'
import tap from 'tap'
import { forced, startForcedSwitches } from '../../../support/forced-switches.ts'
import type { PostgresServer } from '../../../support/postgres.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(170_000)

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

/** As pg_dump holds every table that it is to read. */
async function dump(server: PostgresServer): Promise<Client> {
  const client = new Client(server.url('shop', 'reader', 'reader'))
  client.on('error', () => undefined)
  await client.connect()
  await client.query('BEGIN; LOCK TABLE pontoon.mark IN ACCESS SHARE MODE')
  return client
}
