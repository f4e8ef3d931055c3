/** As whom a side is looked at. */
import t from 'tap'
import { postgresService } from '../../src/config/schema.ts'
import { rolesOf } from '../../src/control/side-probe.ts'
import { Secrets } from '../../src/net/secrets/secrets.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { silentLog } from '../../src/shared/log.ts'

const secrets = new Secrets({ clock: systemClock, log: silentLog })

const side = { host: 'db', user: 'fallback', password: 'side' }
const base = {
  protocol: 'postgres',
  listen: '127.0.0.1:6432',
  source: side,
  target: { host: 'managed' },
}

void t.test('every role that the configuration names, once', async (test) => {
  const cases: readonly (readonly [name: string, config: object, roles: readonly object[]])[] = [
    [
      'the one of the side',
      base,
      [{ user: 'fallback', password: 'side', database: 'fallback', isDatabaseGuessed: true }],
    ],
    [
      'each client as it goes out',
      {
        ...base,
        databases: ['orders'],
        users: { app: { source: { user: 'app_out', password: 'own' } }, web: {} },
      },
      [
        { user: 'app_out', password: 'own', database: 'orders' },
        { user: 'fallback', password: 'side', database: 'orders' },
      ],
    ],
    [
      'two clients with one role',
      { ...base, users: { app: {}, web: {} }, databases: ['orders'] },
      [{ user: 'fallback', password: 'side', database: 'orders' }],
    ],
    [
      'nobody whose password only the client knows, but who looks users up',
      {
        ...base,
        source: { host: 'db' },
        users: { app: { verifier: 'SCRAM-SHA-256$4096:x$y:z' } },
        clientAuth: { query: { user: 'lookup', password: 'l', database: 'auth' } },
      },
      [{ user: 'lookup', password: 'l', database: 'auth' }],
    ],
    [
      'the special ones',
      {
        ...base,
        source: { ...side, database: 'orders', readUser: { user: 'reader', password: 'r' } },
      },
      [
        { user: 'fallback', password: 'side', database: 'orders' },
        { user: 'reader', password: 'r', database: 'orders' },
      ],
    ],
  ]
  for (const [name, config, roles] of cases) {
    test.same(rolesOf(postgresService.parse(config), 'source', secrets), roles, name)
  }
})

void t.test('none where clients bring their own names', async (test) => {
  test.same(rolesOf(postgresService.parse(base), 'target', secrets), [])
})
