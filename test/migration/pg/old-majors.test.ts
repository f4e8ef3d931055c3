/** A whole migration from the oldest source there can be, and what is older; other pairs: test/soak/old-majors.soak.ts. */
import tap from 'tap'
import { postgresService } from '../../../src/config/schema.ts'
import { connectAs } from '../../../src/migration/pg/side-login.ts'
import { Secrets } from '../../../src/net/secrets/secrets.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { expectStartup, send, silence, startMockPostgres } from '../../support/mock-postgres.ts'
import {
  authenticationOk,
  backendKeyData,
  parameterStatus,
  readyForQuery,
} from '../../support/pg-backend.ts'
import { migrateThereAndBack } from '../../support/there-and-back.ts'

tap.setTimeout(280_000)

await tap.test('10 to 15, back, and there again', (t) =>
  migrateThereAndBack(t, { source: 10, target: 15 }, false),
)

await tap.test('a server that has no logical replication is refused', async (t) => {
  const login = send(
    authenticationOk(),
    parameterStatus('server_version', '9.6.24'),
    parameterStatus('client_encoding', 'UTF8'),
    backendKeyData(1, Buffer.alloc(4)),
    readyForQuery(),
  )
  const mock = await startMockPostgres([expectStartup(), login, silence()])
  t.teardown(() => mock.stop())
  const side = { host: mock.host, port: mock.port, user: 'app', tls: { mode: 'disable' } }
  const config = postgresService.parse({
    protocol: 'postgres',
    listen: '127.0.0.1:1',
    databases: ['shop'],
    source: side,
    target: side,
  })
  const secrets = new Secrets({ clock: systemClock, log: silentLog })
  const context = { service: 'orders', config, secrets }
  await t.rejects(connectAs(context, { side: 'source', purpose: 'control', task: 'test' }), {
    code: 'MIGRATION_REFUSED',
    message: /PostgreSQL 9\.6\.24, which has no logical replication/,
  })
})
