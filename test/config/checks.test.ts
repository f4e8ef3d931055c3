import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/mistake.ts'

type Tree = Record<string, unknown>

const scram = `SCRAM-SHA-256$4096:c2FsdHNhbHQ=$${'A'.repeat(43)}=:${'B'.repeat(43)}=`
const files = { cert: '/c.pem', key: '/k.pem' }

interface Case {
  readonly name: string
  /** Laid over a service that is right. */
  readonly service?: Tree
  /** Laid over the whole file. */
  readonly top?: Tree
  /** Mistakes expected, without their place; none means that the file is right. */
  readonly mistakes: readonly string[]
  readonly warnings?: readonly string[]
}

const cases: readonly Case[] = [
  { name: 'a file that is right', mistakes: [] },
  {
    name: 'trust beyond loopback',
    service: { listen: '0.0.0.0:6432' },
    mistakes: [
      'services.orders.clientAuth.mode: trust lets anyone in: listen on loopback or use scram',
    ],
  },
  {
    name: 'trust on a Unix socket',
    service: { listen: '/run/pontoon/.s.PGSQL.6432' },
    mistakes: [],
  },
  {
    name: 'scram without users',
    service: { clientAuth: { mode: 'scram' } },
    mistakes: ['services.orders.users: is needed: clientAuth scram must know who may come in'],
  },
  {
    name: 'scram with users of every kind',
    service: {
      clientAuth: { mode: 'scram' },
      users: {
        plain: { verifier: 'secret' },
        hashed: { verifier: `md5${'0'.repeat(32)}` },
        scram: { verifier: scram },
        torn: { verifier: scram.slice(0, -5) },
        none: {},
      },
    },
    mistakes: [
      'services.orders.users.hashed.verifier: is an md5 hash, which clientAuth scram cannot use',
      'services.orders.users.torn.verifier: is a damaged SCRAM-SHA-256 verifier, copy it whole from pg_authid',
      'services.orders.users.none.verifier: is missing: clientAuth scram needs it to prove the client',
    ],
  },
  {
    name: 'md5 with verifiers of every kind, as PostgreSQL takes them',
    service: {
      clientAuth: { mode: 'md5' },
      users: { a: { verifier: scram }, b: { verifier: `md5${'0'.repeat(32)}` } },
    },
    mistakes: [],
  },
  {
    name: 'passthrough beyond loopback without TLS',
    service: { listen: '10.0.0.1:1', clientAuth: { mode: 'passthrough' } },
    mistakes: [
      'services.orders.clientAuth.mode: passthrough asks for cleartext passwords: beyond loopback it needs clientTls with mode require',
    ],
  },
  {
    name: 'passthrough beyond loopback with TLS',
    service: {
      listen: '10.0.0.1:1',
      clientAuth: { mode: 'passthrough' },
      clientTls: { mode: 'require', ...files },
    },
    mistakes: [],
  },
  {
    name: 'client TLS without a certificate',
    service: { clientTls: { mode: 'prefer' } },
    mistakes: [
      'services.orders.clientTls.cert: is missing: clientTls with mode prefer needs it',
      'services.orders.clientTls.key: is missing: clientTls with mode prefer needs it',
    ],
  },
  {
    name: 'a certificate that is not used',
    service: { clientTls: files },
    mistakes: [],
    warnings: [
      'services.orders.clientTls.cert: has no effect: mode is disable',
      'services.orders.clientTls.key: has no effect: mode is disable',
    ],
  },
  {
    name: 'server certificate without its key',
    service: { target: { tls: { mode: 'verify-full', cert: '/c.pem' } } },
    mistakes: ['services.orders.target.tls.key: is missing: cert is of no use without it'],
  },
  {
    name: 'TLS over a Unix socket',
    service: { source: { host: '/var/run/postgresql', tls: { mode: 'require' } } },
    mistakes: ['services.orders.source.tls.mode: require cannot be had over a Unix socket'],
  },
  {
    name: 'CAs that verify nothing',
    service: { target: { tls: { mode: 'require', ca: 'aws-rds' } } },
    mistakes: [],
    warnings: ['services.orders.target.tls.ca: has no effect: mode require verifies nothing'],
  },
  {
    name: 'source and target are one',
    service: { target: { host: 'DB.internal.', database: 'orders' } },
    mistakes: ['services.orders.target: is the same database as source'],
  },
  {
    name: 'loopback has several names',
    service: {
      source: { host: '127.0.0.1', database: null },
      target: { host: 'localhost', database: null },
    },
    mistakes: ['services.orders.target: is the same database as source'],
  },
  {
    name: 'two databases of one server',
    service: { target: { host: 'db.internal', database: 'orders2' } },
    mistakes: [],
  },
  {
    name: 'a side that is the service itself',
    service: { source: { host: '::1', port: 6432 } },
    mistakes: ['services.orders.source.host: leads back to the service itself (port 6432)'],
  },
  {
    name: 'a start that only cutover reaches',
    service: { route: { phase: 'managed' } },
    mistakes: [
      'services.orders.route.phase: no service starts in phase managed: only pontoon cutover reaches it',
    ],
  },
  {
    name: 'a start that needs mirroring',
    service: { route: { phase: 'shadow' } },
    mistakes: [
      'services.orders.route.phase: phase shadow needs mirroring of reads, which is not supported yet by this version',
    ],
  },
  {
    name: 'an address that is none',
    service: { listen: ['localhost:6432', 'db.internal:6432', '[::1', '/run/'] },
    mistakes: [
      'services.orders.listen[1]: cannot listen on "db.internal:6432": the host is an IP address or `localhost`',
      'services.orders.listen[2]: cannot listen on "[::1": an IPv6 address stands in brackets, as in [::1]:6432',
      'services.orders.listen[3]: cannot listen on "/run/": give the full path of the socket, as in /run/.s.PGSQL.6432',
    ],
  },
  {
    name: 'addresses taken twice',
    service: { listen: ['localhost:6432', '0.0.0.0:6432', '[::1]:7070', '127.0.0.1:0'] },
    top: {
      probe: { listen: '0.0.0.0:9901' },
      admin: { listen: 'localhost:9901' },
    },
    mistakes: [
      'probe.listen: 0.0.0.0:9901 is taken by admin.listen',
      'services.orders.listen[1]: 0.0.0.0:6432 is taken by services.orders.listen[0]',
      'services.orders.clientAuth.mode: trust lets anyone in: listen on loopback or use scram',
    ],
  },
  {
    name: 'two services on one address',
    top: {
      services: {
        stock: {
          protocol: 'postgres',
          listen: '127.0.0.1:6432',
          clientAuth: { mode: 'trust' },
          source: { host: 'a' },
          target: { host: 'b' },
        },
      },
    },
    mistakes: ['services.stock.listen: 127.0.0.1:6432 is taken by services.orders.listen'],
  },
  {
    name: 'two services that can be moved, on one database',
    service: {
      databases: ['orders'],
      source: { host: 'a', controlUser: { user: 'c' } },
      target: { host: 'b', controlUser: { user: 'c' } },
    },
    top: {
      services: {
        stock: {
          protocol: 'postgres',
          listen: '127.0.0.1:6433',
          clientAuth: { mode: 'trust' },
          databases: ['stock'],
          source: { host: 'a' },
          target: { host: 'b', database: 'stock' },
        },
        session: {
          protocol: 'postgres',
          listen: '127.0.0.1:6434',
          clientAuth: { mode: 'trust' },
          databases: ['other', 'orders'],
          source: { host: 'A.' },
          target: { host: 'c' },
        },
      },
    },
    mistakes: [
      'services.session: has a database of services.orders, and a switch of one would shut the other out: make them one service, with several addresses in listen',
    ],
  },
  {
    name: 'admin beyond loopback with all it needs',
    top: {
      admin: {
        listen: '[::]:7070',
        tokens: [{ name: 'ops', role: 'operator', secret: 's' }],
        tls: files,
      },
    },
    mistakes: [],
  },
  {
    name: 'admin tokens that cannot be told apart, on a Unix socket',
    top: {
      admin: {
        listen: '/run/admin',
        tokens: [
          { name: 'ops', role: 'operator', secret: 's' },
          { name: 'ops', role: 'viewer', secret: 's' },
        ],
      },
    },
    mistakes: [
      'admin.listen: cannot be a Unix socket: expected address:port',
      'admin.tokens[1].name: is the same as that of an earlier token',
      'admin.tokens[1].secret: is the same as that of an earlier token',
    ],
  },
  {
    name: 'what later versions bring',
    service: {
      dualWrite: { percent: 5 },
      route: { mirror: 10 },
    },
    top: {
      workers: 4,
      state: { etcd: { endpoints: ['http://x'], prefix: '/p' } },
    },
    mistakes: [
      'services.orders.dualWrite: dual-write is not supported yet by this version',
      'services.orders.route.mirror: mirroring of reads is not supported yet by this version',
      'workers: more than one worker is not supported yet by this version',
      'state.etcd: state in etcd is not supported yet by this version',
    ],
  },
  {
    name: 'sources of secrets',
    service: {
      source: { password: { secretsManager: 'arn:…', kee: 'x' } },
      target: { password: { vault: 'x' } },
      users: { app: { verifier: { secretsManager: 'arn:…' } } },
    },
    mistakes: [
      'services.orders.source.password.kee: unknown key; did you mean key?',
      'services.orders.target.password: expected text, { file: path } or { secretsManager: arn }',
      'services.orders.users.app.verifier: expected text or { file: path }',
    ],
  },
  {
    name: 'a token without TLS or beside a password',
    service: {
      source: { password: 'x', auth: { mode: 'rds-iam' }, tls: { mode: 'require' } },
      target: { tls: { mode: 'prefer' } },
      users: { app: { verifier: 'x', target: { auth: { mode: 'rds-iam', region: 'eu-west-1' } } } },
    },
    mistakes: [
      'services.orders.source.auth: and password exclude each other',
      'services.orders.users.app.target.auth: rds-iam needs tls.mode require or better, which is prefer',
    ],
  },
  {
    name: 'client certificates without their CA',
    service: {
      clientAuth: { mode: 'cert', query: { user: 'x' } },
      clientTls: { mode: 'prefer', ...files },
    },
    mistakes: [
      'services.orders.clientAuth.query: is of no use: mode cert needs no verifiers',
      'services.orders.clientTls.mode: must be require: clientAuth cert needs a client certificate',
      'services.orders.clientTls.clientCa: is missing: clientAuth cert trusts certificates of that CA',
    ],
  },
  {
    name: 'a look-up that does not ask for the user',
    service: {
      clientAuth: { mode: 'scram', certMap: { a: 'b' }, query: { user: 'x', sql: 'SELECT $10' } },
    },
    mistakes: [
      'services.orders.clientAuth.certMap: is of no use: mode is scram',
      'services.orders.clientAuth.query.sql: does not ask for the user: the name stands for $1',
    ],
  },
  {
    name: 'channel binding without a channel',
    service: { source: { tls: { mode: 'disable', channelBinding: 'require' } } },
    mistakes: [
      'services.orders.source.tls.channelBinding: require needs TLS: there is no channel to bind to',
    ],
  },
  {
    name: 'TLS at once where it may also be none',
    service: { source: { tls: { mode: 'prefer', negotiation: 'direct' } } },
    mistakes: [
      'services.orders.source.tls.negotiation: direct needs mode require, verify-ca or verify-full, but mode is prefer',
    ],
  },
  {
    name: 'a Redis service',
    top: {
      services: {
        orders: null,
        cache: {
          protocol: 'redis',
          listen: '0.0.0.0:6380',
          clientAuth: { mode: 'trust' },
          clientTls: { mode: 'require' },
          source: { host: 'a', tls: { key: 'k' } },
          target: { host: 'A' },
        },
        session: {
          protocol: 'redis',
          listen: '127.0.0.1:6381',
          users: { default: {} },
          pool: { mode: 'transaction' },
          source: { host: 'localhost', port: 6381 },
          target: { host: 'b', tls: { ca: 'x' } },
        },
        passed: {
          protocol: 'redis',
          listen: '127.0.0.1:6383',
          clientAuth: { mode: 'passthrough' },
          users: { default: {} },
          source: { host: 'e' },
          target: {
            host: 'f',
            tls: { mode: 'require' },
            auth: { mode: 'elasticache-iam', cache: 'x' },
          },
        },
        managed: {
          protocol: 'redis',
          listen: '127.0.0.1:6382',
          clientAuth: { mode: 'trust' },
          source: { host: 'c', cluster: true, sentinels: { set: 's', nodes: ['one:1'] } },
          target: {
            host: 'd',
            sentinels: { set: 's', nodes: ['one'] },
            password: 'p',
            auth: { mode: 'elasticache-iam', cache: 'x' },
          },
        },
        wrong: { protocol: 'memcached' },
      },
    },
    mistakes: [
      'services.cache.clientAuth.mode: trust lets anyone in: listen on loopback or use password',
      'services.cache.clientTls.cert: is missing: clientTls with mode require needs it',
      'services.cache.clientTls.key: is missing: clientTls with mode require needs it',
      'services.cache.source.tls.cert: is missing: key is of no use without it',
      'services.cache.target: is the same database as source',
      'services.managed.source.sentinels: is of no use with a cluster, which elects by itself',
      'services.managed.target.sentinels.nodes[0]: one is not host:port',
      'services.managed.target.auth: and password exclude each other',
      'services.managed.target.tls.mode: must not be disable: auth sends a token as it is',
      'services.passed.target.auth: is of no use: with passthrough the primary side knows who may come in',
      'services.passed.users: is of no use: with passthrough the primary side knows who may come in',
      'services.session.pool.mode: expected one of multiplexed, pinned, found text "transaction"',
      'services.session.source.host: leads back to the service itself (port 6381)',
      'services.session.users.default.verifier: is missing: clientAuth password needs it to prove the client',
      'services.wrong.protocol: expected one of postgres, redis, found text "memcached"',
    ],
  },
  {
    name: 'no service',
    top: { services: { orders: null } },
    mistakes: ['services: names no service'],
  },
]

for (const { name, service = {}, top = {}, mistakes, warnings = [] } of cases) {
  void t.test(name, async (test) => {
    const found = check(test, service, top)
    test.strictSame(found.mistakes.toSorted(), mistakes.toSorted())
    if (mistakes.length === 0) test.strictSame(found.warnings, warnings)
  })
}

void t.test(
  'what later versions bring is also refused when it comes from the environment',
  async (test) => {
    const found = check(test, {}, { workers: '${WORKERS}' }, { WORKERS: '2' })
    test.strictSame(found.mistakes, [
      'workers: more than one worker is not supported yet by this version',
    ])
  },
)

interface Found {
  readonly mistakes: readonly string[]
  readonly warnings: readonly string[]
}

function check(test: Test, service: Tree, top: Tree, env: NodeJS.ProcessEnv = {}): Found {
  const right = {
    services: {
      orders: {
        protocol: 'postgres',
        listen: 'localhost:6432',
        clientAuth: { mode: 'trust' },
        source: { host: 'db.internal', database: 'orders' },
        target: { host: 'db.example.com', database: 'orders' },
      },
    },
  }
  const folder = test.testdir({
    'right.yml': stringify(right),
    'service.yml': stringify({ services: { orders: service } }),
    'top.yml': stringify(top),
  })
  const names = ['right.yml', 'service.yml', 'top.yml'].map((file) => join(folder, file))
  try {
    return { mistakes: [], warnings: loadConfig(names, env).warnings.map(placeless) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const lines = error.message.split('\n').filter((line) => !/^\d+ mistakes/.test(line))
    return { mistakes: lines.map(placeless), warnings: [] }
  }
}

function placeless(line: string): string {
  return line.replace(/^.*\.yml:\d+: /, '')
}
