import t from 'tap'
import { compareConfigs, liveConfig } from '../../src/config/compare.ts'
import { deepFreeze } from '../../src/config/deep-freeze.ts'
import { configSchema, type Config } from '../../src/config/schema.ts'
import { fullConfig } from './full-config.ts'

const base = {
  services: {
    orders: {
      protocol: 'postgres',
      listen: 'localhost:6432',
      users: { app: { verifier: 'old' } },
      source: { host: 'a', password: 'pw' },
      target: { host: 'b' },
    },
  },
}
type Change = (config: typeof base) => object

const cases: readonly (readonly [
  name: string,
  change: Change,
  expected: Partial<ReturnType<typeof compareConfigs>>,
])[] = [
  ['nothing', (config) => config, {}],
  [
    'pool, limits and users',
    ({ services: { orders } }) => ({
      services: {
        orders: {
          ...orders,
          pool: { size: 5 },
          limits: { clientsMax: 7 },
          users: { app: { verifier: 'new' }, more: {} },
          databases: ['x'],
        },
      },
      log: { level: 'debug' },
      admin: { tokens: [{ name: 'a', role: 'viewer', secret: 's' }] },
    }),
    {
      live: [
        'admin.tokens',
        'log.level',
        'services.orders.users.app.verifier',
        'services.orders.users.more',
        'services.orders.pool.size',
        'services.orders.limits.clientsMax',
        'services.orders.databases',
      ],
    },
  ],
  [
    'where passwords come from, and tokens',
    ({ services: { orders } }) => ({
      services: {
        orders: {
          ...orders,
          users: { app: { verifier: 'old', target: { auth: { mode: 'rds-iam' } } } },
          source: { host: 'a', password: { file: '/run/pw' } },
          target: { host: 'b', auth: { mode: 'rds-iam', region: 'eu-west-1' } },
        },
      },
    }),
    {
      live: [
        'services.orders.users.app.target.auth.mode',
        'services.orders.source.password',
        'services.orders.target.auth.mode',
        'services.orders.target.auth.region',
      ],
    },
  ],
  [
    'a side',
    ({ services: { orders } }) => ({
      services: {
        orders: { ...orders, source: { host: 'c', user: 'u', connectTimeoutMs: 9 } },
      },
    }),
    {
      live: ['services.orders.source.password', 'services.orders.source.connectTimeoutMs'],
      needRestart: ['services.orders.source.host', 'services.orders.source.user'],
    },
  ],
  [
    'the role of a user who stays',
    ({ services: { orders } }) => ({
      services: {
        orders: {
          ...orders,
          users: { app: { verifier: 'old', source: { user: 'r', password: 'p' } }, b: {} },
          source: { host: 'a', password: 'pw', readUser: { user: 'r' } },
        },
      },
    }),
    {
      live: [
        'services.orders.users.app.source.password',
        'services.orders.users.b',
        'services.orders.source.readUser.user',
      ],
      needRestart: ['services.orders.users.app.source.user'],
    },
  ],
  [
    'pool mode, listen and the start',
    ({ services: { orders } }) => ({
      services: {
        orders: {
          ...orders,
          listen: ['localhost:6433'],
          pool: { mode: 'session' },
          route: { phase: 'canary', reads: 3, readAfterWriteMs: 5 },
        },
      },
    }),
    {
      live: ['services.orders.route.readAfterWriteMs'],
      needRestart: ['services.orders.listen', 'services.orders.pool.mode'],
      forNewServices: ['services.orders.route.phase', 'services.orders.route.reads'],
    },
  ],
  [
    'a service comes, another goes',
    ({ services: { orders } }) => ({ services: { stock: orders } }),
    { needRestart: ['services.orders', 'services.stock'] },
  ],
  ['state', (config) => ({ ...config, state: { file: '/x' } }), { needRestart: ['state.file'] }],
]

for (const [name, change, expected] of cases) {
  void t.test(name, async (test) => {
    const changes = compareConfigs(parse(base), parse(change(base)))
    test.strictSame(sorted(changes.live), sorted(expected.live))
    test.strictSame(sorted(changes.needRestart), sorted(expected.needRestart))
    test.strictSame(sorted(changes.forNewServices), sorted(expected.forNewServices))
  })
}

void t.test('liveConfig takes exactly what compareConfigs calls live', async (test) => {
  const before = deepFreeze(fullConfig().config)
  const after = deepFreeze(everythingElse(before))
  const all = compareConfigs(before, after)
  test.ok(all.live.length > 20 && all.needRestart.length > 20, 'both kinds occur')
  const live = liveConfig(before, after)
  const done = compareConfigs(before, live)
  test.strictSame(sorted(done.live), sorted(all.live))
  test.strictSame([...done.needRestart, ...done.forNewServices], [])
  const left = compareConfigs(live, after)
  test.strictSame(left.live, [], 'nothing live is left to change')
  test.strictSame(sorted(left.needRestart), sorted(all.needRestart))
  test.strictSame(sorted(left.forNewServices), sorted(all.forNewServices))
})

void t.test('liveConfig also takes away what is gone', async (test) => {
  const { users: _users, ...orders } = base.services.orders
  const next = { services: { orders: { ...orders, source: { host: 'a' } } } }
  const live = liveConfig(parse(base), parse(next))
  test.notOk('users' in (live.services['orders'] ?? {}))
  test.notOk('password' in (live.services['orders']?.source ?? {}))
})

void t.test('a user who stays keeps the role, and gets the new password', async (test) => {
  const users = { app: { verifier: 'new', source: { user: 'r', password: 'p' } } }
  const orders = { ...base.services.orders, users }
  const live = liveConfig(parse(base), parse({ services: { orders } }))
  test.strictSame(live.services['orders']?.users?.['app'], {
    verifier: 'new',
    source: { password: 'p' },
  })
})

void t.test('changes name no values', async (test) => {
  const { services } = base
  const orders = { ...services.orders, users: { app: { verifier: 'hunter2' } } }
  const changes = compareConfigs(parse(base), parse({ services: { orders } }))
  test.notMatch(JSON.stringify(changes), 'hunter2')
})

function parse(value: unknown): Config {
  return configSchema.parse(value)
}

function sorted(paths: readonly string[] = []): readonly string[] {
  return paths.toSorted()
}

/** The same configuration with every leaf altered; not valid, which comparing does not mind. */
function everythingElse(config: Config): Config {
  return JSON.parse(JSON.stringify(config), (key, value: unknown) => {
    if (typeof value === 'object' || key === 'protocol') return value
    return typeof value === 'number' ? value + 1 : `${JSON.stringify(value)}-other`
  })
}
