/** The schema of a service with `protocol: redis`; part of schema.ts. */
import { z } from 'zod'
import {
  durationMs,
  listen,
  path,
  port,
  routeDefaults,
  secret,
  sidePassword,
  text,
} from './schema-parts.ts'

const credentials = z.strictObject({
  user: text.optional().describe('ACL user on that side; default: as the side or the client says.'),
  password: sidePassword.optional().describe('Its password.'),
})

const userEntry = z.strictObject({
  verifier: secret
    .optional()
    .describe('Plain password, or `#` and its SHA-256 in hexadecimal, that proves the client.'),
  source: credentials.optional().describe('As whom this user goes out on the source.'),
  target: credentials.optional().describe('As whom this user goes out on the target.'),
})

const serverTls = z.strictObject({
  mode: z
    .enum(['disable', 'require', 'verify-ca', 'verify-full'])
    .default('disable')
    .describe('Whether the side speaks TLS, and what of its certificate is verified.'),
  ca: path
    .optional()
    .describe('PEM file of trusted CAs; default: the CAs of Node, which ElastiCache is under.'),
  cert: path.optional().describe('PEM file of the client certificate shown to the server.'),
  key: path.optional().describe('PEM file of its key.'),
  servername: text.optional().describe('Name to verify and to send as SNI instead of `host`.'),
})

const cacheAuth = z.strictObject({
  mode: z
    .enum(['elasticache-iam'])
    .describe('`elasticache-iam`: a token signed with the AWS credentials at hand.'),
  cache: text.describe('Id of the replication group, or name of the serverless cache.'),
  region: text.optional().describe('AWS region; default: as the host name says.'),
  serverless: z.boolean().default(false).describe('Whether it is a serverless cache.'),
})

const sentinels = z.strictObject({
  set: text.describe('Name that the Sentinels know the set of servers by.'),
  nodes: z.array(text).min(1).max(100).describe('Sentinels, each as host:port.'),
  user: text.optional().describe('ACL user of the Sentinels.'),
  password: sidePassword.optional().describe('Password of the Sentinels.'),
  tls: z
    .boolean()
    .default(false)
    .describe('Whether Sentinels speak TLS, as `tls` of the side says.'),
})

const side = z.strictObject({
  host: text.describe('Host name or address.'),
  port: port.default(6379).describe('Port.'),
  user: text.optional().describe('ACL user to log in with; default: the one the client gives.'),
  password: sidePassword.optional().describe('Its password, or that of AUTH without a name.'),
  auth: cacheAuth.optional().describe('Instead of a password.'),
  tls: serverTls.prefault({}).describe('TLS towards this side.'),
  cluster: z
    .boolean()
    .default(false)
    .describe('Whether the side is a cluster; clients still see a single server.'),
  clusterMset: z
    .enum(['refuse', 'split'])
    .default('refuse')
    .describe('What becomes of an MSET whose keys are in several slots: `split` is not atomic.'),
  sentinels: sentinels
    .optional()
    .describe('Sentinels to ask where the primary is; `host` is then only its name for people.'),
  connectTimeoutMs: durationMs
    .default(5_000)
    .describe('A connection must be up and logged in after this long.'),
})

const servers = (describe: string) => z.number().int().min(1).max(100_000).describe(describe)

const pool = z.strictObject({
  mode: z
    .enum(['multiplexed', 'pinned'])
    .default('multiplexed')
    .describe('Whether clients share servers, or each client has its own for its whole life.'),
  size: servers('Shared servers per side, user, database and RESP version.').default(4),
  ownSize: servers(
    'Servers per side, user, database and RESP version that are one client’s own for a while, or for its life where `mode` is pinned.',
  ).default(10_000),
  queueMax: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(10_000)
    .describe('Clients that may wait for a server.'),
  queueTimeoutMs: durationMs.default(5_000).describe('How long a client waits for a server.'),
  dnsIntervalMs: durationMs
    .default(10_000)
    .describe(
      'How often the names of the sides are looked up; servers at an address that is gone are closed at their next rest.',
    ),
  idleTimeoutMs: durationMs
    .default(600_000)
    .describe('A server that nobody used for this long is closed.'),
  maxLifetimeMs: durationMs
    .default(3_600_000)
    .describe('A shared server is replaced at its next rest after this long.'),
  probeIntervalMs: durationMs
    .default(30_000)
    .describe('A server that rests for this long is asked for a sign of life.'),
  suspectAfterMs: durationMs
    .default(15_000)
    .describe(
      'When a server owes an answer and is silent for this long, Pontoon looks whether its host and its connection are still there, and closes it if not.',
    ),
  holdMs: z
    .number()
    .int()
    .min(0)
    .max(600_000)
    .default(3_000)
    .describe('While a side restarts or fails over, new commands wait this long for it.'),
})

const limits = z.strictObject({
  clientsMax: z.number().int().min(1).max(1_000_000).default(10_000).describe('Clients at once.'),
  loginTimeoutMs: durationMs
    .default(10_000)
    .describe('A client that must prove itself has to do so in this time.'),
  slowReaderMs: durationMs
    .default(60_000)
    .describe('A client that reads nothing of a waiting reply for this long is closed.'),
  slowCommandMs: durationMs
    .default(10)
    .describe('Commands whose reply takes longer are listed in the slow log.'),
})

export const redisService = z.strictObject({
  protocol: z.literal('redis').describe('What the clients speak.'),
  listen: listen.describe('Where clients connect, as for PostgreSQL.'),
  clientAuth: z
    .strictObject({
      mode: z
        .enum(['trust', 'password', 'passthrough'])
        .default('password')
        .describe(
          '`password`: AUTH or HELLO against `users`; `passthrough`: the primary side decides; `trust`: nobody is asked.',
        ),
    })
    .prefault({})
    .describe('How clients log in.'),
  users: z
    .record(text, userEntry)
    .optional()
    .describe('Who may come in, and as whom they go out; `default` is AUTH without a name.'),
  clientTls: z
    .strictObject({
      mode: z
        .enum(['disable', 'prefer', 'require'])
        .default('disable')
        .describe(
          'Whether clients may (`prefer`) or must (`require`) speak TLS, from their first byte.',
        ),
      cert: path.optional().describe('PEM file of the certificate shown to clients.'),
      key: path.optional().describe('PEM file of its key.'),
      clientCa: path.optional().describe('PEM file of CAs that client certificates chain to.'),
    })
    .prefault({})
    .describe('TLS towards clients.'),
  pool: pool.prefault({}).describe('Servers kept open.'),
  subscribers: z
    .enum(['move', 'close'])
    .default('move')
    .describe(
      'What becomes of subscribers when the primary side moves: subscribed there without noticing, or closed.',
    ),
  limits: limits.prefault({}).describe('Bounds on what clients may use.'),
  source: side.describe('The self-hosted database.'),
  target: side.describe('The managed database.'),
  route: routeDefaults.prefault({}).describe('How the traffic of a new service goes.'),
})

export type RedisServiceConfig = z.infer<typeof redisService>
export type RedisSideConfig = z.infer<typeof side>
export type CacheAuthConfig = z.infer<typeof cacheAuth>
export type RedisUserEntry = z.infer<typeof userEntry>
