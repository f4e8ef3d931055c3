/** Markers between real servers: only the one that was sent counts, whatever the clocks say. */
import tap from 'tap'
import { awaitMarker, sendMarker } from '../../../src/migration/pg/beats.ts'
import { controlSchemaSql } from '../../../src/migration/pg/control-schema.ts'
import { SqlClient } from '../../../src/net/pg/sql-client.ts'
import { serverTls } from '../../../src/net/tls.ts'
import { startPostgres } from '../../support/postgres.ts'

tap.setTimeout(280_000)

await tap.test('markers', async (whole) => {
  const server = await startPostgres({ major: 15 })
  whole.teardown(() => server.stop())
  const plain = { mode: 'disable', negotiation: 'postgres', channelBinding: 'prefer' } as const
  const names = ['sender', 'receiver'] as const
  for (const name of names) await server.createDatabase(name)
  const connect = async (database: string): Promise<SqlClient> => {
    const client = await SqlClient.connect({
      endpoint: { host: server.host, port: server.port },
      tls: serverTls(plain, server.host).made,
      parameters: new Map([
        ['user', server.superuser],
        ['database', database],
      ]),
      password: server.password,
      timeoutMs: 5_000,
    })
    whole.teardown(() => client.close())
    await client.run(controlSchemaSql())
    return client
  }
  const [sender, receiver] = [await connect('sender'), await connect('receiver')]
  const patience = { timeoutMs: 5_000 }

  await whole.test('a later one of another does not count, also by a clock ahead', async (t) => {
    const marker = await sendMarker(sender, 'forward', 'fence', patience)
    await receiver.run(
      `INSERT INTO pontoon.heartbeat_forward VALUES
         ('fence-ffffffffffffffffffffffff', 9223372036854775807, 'infinity')`,
    )
    await t.rejects(awaitMarker(receiver, marker, { timeoutMs: 100 }), { code: 'SYNC_BEHIND' })
    await receiver.run(`INSERT INTO pontoon.heartbeat_forward VALUES ('${marker.name}', 0)`)
    await awaitMarker(receiver, marker, patience)
  })

  await whole.test('old ones go, new ones and those of other kinds stay', async (t) => {
    await sender.run(
      `TRUNCATE pontoon.heartbeat_reverse;
       INSERT INTO pontoon.heartbeat_reverse (name, value, at) VALUES
         ('probe-old', 0, now() - interval '2 minutes'), ('probe-new', 0, now()),
         ('verify-old', 0, now() - interval '2 minutes'), ('beat', 0, now() - interval '1 day')`,
    )
    const { name } = await sendMarker(sender, 'reverse', 'probe', patience)
    const { rows } = await sender.query('SELECT name FROM pontoon.heartbeat_reverse ORDER BY name')
    t.same(rows.flat(), ['beat', 'probe-new', name, 'verify-old'].toSorted())
  })

  await whole.test('the wait ends with the reason of its signal', async (t) => {
    const abort = new AbortController()
    const reason = new Error('enough')
    const waiting = awaitMarker(
      receiver,
      { direction: 'forward', name: 'fence-none' },
      { ...patience, signal: abort.signal },
    )
    abort.abort(reason)
    await t.rejects(waiting, reason)
  })
})
