/**
 * The one schema of the configuration file: defaults, units and descriptions stand here and
 * nowhere else. The JSON Schema and the table in docs/configuration.md are generated from it
 * (scripts/docs-config.ts), and so is the knowledge which values are secrets (`writeOnly`), paths
 * (`x-path`) and what unit a number has (`x-unit`).
 *
 * What one value says about another is checked in cross-checks.ts; what the contract has but this
 * version does not do yet is refused by not-yet.ts.
 */
import { z } from 'zod'
import { redisService } from './redis-schema.ts'
import {
  bytes,
  durationMs,
  listen,
  path,
  port,
  routeDefaults,
  secret,
  sidePassword,
  text,
} from './schema-parts.ts'

/** TLS modes as libpq names them (sslmode), without `allow`. */
export const tlsModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

const serverTls = z.strictObject({
  mode: z
    .enum(tlsModes)
    .default('prefer')
    .describe('What to ask of the server, in the words of libpq sslmode.'),
  negotiation: z
    .enum(['postgres', 'direct'])
    .default('postgres')
    .describe(
      'How TLS begins, as libpq sslnegotiation: asked for first, or at once (`direct`, PostgreSQL 17 or newer; saves a round trip).',
    ),
  ca: path
    .optional()
    .describe(
      'PEM file of trusted CAs, or `aws-rds` for the bundled RDS CAs; default: the CAs of Node.',
    ),
  cert: path.optional().describe('PEM file of the client certificate shown to the server.'),
  key: path.optional().describe('PEM file of its key.'),
  servername: text.optional().describe('Name to verify and to send as SNI instead of `host`.'),
  channelBinding: z
    .enum(['disable', 'prefer', 'require'])
    .default('prefer')
    .describe('Whether SCRAM binds itself to the TLS channel, as libpq channel_binding.'),
})

const clientTls = z.strictObject({
  mode: z
    .enum(['disable', 'prefer', 'require'])
    .default('disable')
    .describe('Whether clients may (`prefer`) or must (`require`) use TLS.'),
  cert: path.optional().describe('PEM file of the certificate shown to clients.'),
  key: path.optional().describe('PEM file of its key.'),
  clientCa: path.optional().describe('PEM file of CAs that client certificates must chain to.'),
})

const sideAuth = z.strictObject({
  mode: z.enum(['rds-iam']).describe('`rds-iam`: a token signed with the AWS credentials at hand.'),
  region: text
    .optional()
    .describe(
      'AWS region; default: from the host name, then from the surroundings as the SDK does.',
    ),
  host: text.optional().describe('Name that the token is made for; default: `host` of the side.'),
})

const credentials = z.strictObject({
  user: text.optional().describe('Role on that side; default: as the side or the client says.'),
  password: sidePassword.optional().describe('Its password.'),
  auth: sideAuth.optional().describe('How to log in without a stored password.'),
})

const userEntry = z.strictObject({
  verifier: secret
    .optional()
    .describe('Plain password, md5 hash or SCRAM-SHA-256 verifier that proves the client.'),
  clientsMax: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('Clients of this user at once; default: `limits.clientsPerUserMax`.'),
  poolSize: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .optional()
    .describe('Servers of this user per side and database; default: `pool.size`.'),
  source: credentials.optional().describe('As whom this user goes out on the source.'),
  target: credentials.optional().describe('As whom this user goes out on the target.'),
})

/** Read by the server of the other side, so files are its own: no paths of this machine. */
const tlsFromOtherSide = z.strictObject({
  mode: z.enum(tlsModes).optional().describe('Default: `tls.mode`.'),
  ca: text
    .optional()
    .describe(
      'PEM file of trusted CAs on the server of the other side, or `system` (PostgreSQL 16); default: the path in `tls.ca`.',
    ),
  cert: text.optional().describe('PEM file of its client certificate, there.'),
  key: text.optional().describe('PEM file of its key, there.'),
})

const sideSchema = z.strictObject({
  host: text.describe('Host name, address, or folder of a Unix socket.'),
  port: port.default(5432).describe('Port; also names the socket in a Unix socket folder.'),
  database: text.optional().describe('Default: the database that the client asks for.'),
  user: text.optional().describe('Role to log in with; default: the name that the client gives.'),
  password: sidePassword.optional().describe('Password of `user`.'),
  auth: sideAuth.optional().describe('How to log in without a stored password.'),
  readUser: credentials
    .optional()
    .describe('Read-only role for comparison, checks and weighted reads.'),
  controlUser: credentials.optional().describe('Role of the orchestrator of a migration.'),
  replicationUser: credentials.optional().describe('Role that owns subscriptions.'),
  hostSeenFromOtherSide: text
    .optional()
    .describe('Name of this side as the other side reaches it, for replication.'),
  portSeenFromOtherSide: port
    .optional()
    .describe('Port of this side as the other side reaches it; default: `port`.'),
  tlsSeenFromOtherSide: tlsFromOtherSide
    .optional()
    .describe('TLS of the other side towards this one, for replication.'),
  tls: serverTls.prefault({}).describe('TLS towards this side.'),
  protocolVersion: z
    .enum(['auto', '3.0', '3.2'])
    .default('auto')
    .describe(
      'Version of the protocol, in quotes; with 3.2, PostgreSQL 18 gives long cancel keys. `auto`: 3.2 once the server is known to be 18 or newer.',
    ),
  connectTimeoutMs: durationMs
    .default(5_000)
    .describe('A connection must be up and logged in after this long.'),
})

const authQuery = z.strictObject({
  sql: text
    .default('SELECT usename, passwd, valuntil FROM pg_catalog.pg_shadow WHERE usename = $1')
    .describe('Gives name, verifier and, if it likes, an end of validity for the user `$1`.'),
  user: text.describe('Role that asks, on whichever side is primary.'),
  password: sidePassword.optional().describe('Its password.'),
  database: text.optional().describe('Where it asks; default: the database of the side.'),
  cacheMs: durationMs
    .default(10_000)
    .describe(
      'How long an answer counts, also that there is no such user; one second when a login has failed by it.',
    ),
})

const clientAuth = z.strictObject({
  mode: z
    .enum(['trust', 'md5', 'scram', 'passthrough', 'cert'])
    .default('scram')
    .describe(
      'How clients prove who they are; `passthrough` lets the primary side decide, `cert` asks for a client certificate.',
    ),
  certMap: z
    .record(text, text)
    .optional()
    .describe(
      'For `cert`: user by common name, or by `DNS:…`, `URI:…` or `email:…` of the certificate; default: the common name is the user.',
    ),
  query: authQuery
    .optional()
    .describe('For `scram` and `md5`: where the verifiers of users are who are not in `users`.'),
})

const serversMax = z.number().int().min(1).max(100_000).optional()

const pool = z.strictObject({
  mode: z
    .enum(['session', 'transaction'])
    .default('transaction')
    .describe('How long a client keeps its server: until it leaves, or for one transaction.'),
  size: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .describe('Servers per side, user and database.'),
  minSize: z
    .number()
    .int()
    .min(0)
    .max(10_000)
    .default(0)
    .describe(
      'Servers kept open per user and database on both sides, from the start for `users` and `databases` that are listed.',
    ),
  serversMax: serversMax.describe(
    'Servers per side, all users and databases together; default: no limit.',
  ),
  serversPerUserMax: serversMax.describe(
    'Servers per side and user, all databases together; default: no limit.',
  ),
  serversPerDatabaseMax: serversMax.describe(
    'Servers per side and database, all users together; default: no limit.',
  ),
  queueMax: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(1_000)
    .describe('Clients that may wait for a server.'),
  queueTimeoutMs: durationMs.default(5_000).describe('How long a client waits for a server.'),
  idleTimeoutMs: durationMs
    .default(600_000)
    .describe('A server beyond `minSize` that nobody used for this long is closed.'),
  maxLifetimeMs: durationMs
    .default(3_600_000)
    .describe(
      'A server is closed at its next release after this long, or up to a tenth earlier, so that not all end at once.',
    ),
  probeIntervalMs: durationMs
    .default(30_000)
    .describe('An idle server that was silent for this long is asked for a sign of life.'),
  suspectAfterMs: durationMs
    .default(15_000)
    .describe(
      'When a server owes an answer and is silent for this long, Pontoon looks whether its host and its backend are still there, and closes it if not.',
    ),
  dnsIntervalMs: durationMs
    .default(10_000)
    .describe(
      'How often the names of the sides are looked up; servers at an address that is gone are closed at their next release.',
    ),
  holdMs: z
    .number()
    .int()
    .min(0)
    .max(600_000)
    .default(3_000)
    .describe('While a side restarts or fails over, new transactions wait this long for it.'),
})

const clientsMax = z.number().int().min(1).max(1_000_000)

const limits = z.strictObject({
  clientsMax: clientsMax.default(10_000).describe('Clients at once.'),
  clientsPerUserMax: clientsMax
    .optional()
    .describe('Clients of one user at once; default: no limit of its own.'),
  clientsPerDatabaseMax: clientsMax
    .optional()
    .describe('Clients of one database at once; default: no limit of its own.'),
  replicationClientsMax: z
    .number()
    .int()
    .min(0)
    .max(10_000)
    .default(10)
    .describe('Replication connections at once; each has a WAL sender of its own.'),
  loginTimeoutMs: durationMs
    .default(10_000)
    .describe('A client must have logged in after this long.'),
  startupBytesMax: bytes
    .min(1_024)
    .max(1_048_576)
    .default(65_536)
    .describe('Largest startup packet.'),
  messageBytesMax: bytes
    .min(65_536)
    .max(1_073_741_823)
    .default(1_073_741_823)
    .describe('Largest client message relayed; PostgreSQL itself stops at 1 GiB - 1.'),
  slowReaderMs: durationMs
    .default(60_000)
    .describe('A client that does not take what waits for it within this long is closed.'),
  queryTimeoutMs: durationMs
    .optional()
    .describe('A query that runs longer is cancelled; default: no limit.'),
  cancelGraceMs: durationMs
    .default(5_000)
    .describe('A server that goes on for this long after it was asked to cancel is closed.'),
  transactionTimeoutMs: durationMs
    .optional()
    .describe('A transaction open for longer is ended with its session; default: no limit.'),
  idleInTransactionMs: durationMs
    .optional()
    .describe(
      'A session that is silent in an open transaction for this long is ended; default: no limit.',
    ),
  clientIdleMs: durationMs
    .optional()
    .describe(
      'A client that is silent outside of a transaction for this long is closed; default: no limit.',
    ),
  bufferBytesMax: bytes
    .min(16_777_216)
    .max(1_099_511_627_776)
    .default(536_870_912)
    .describe(
      'Bytes held for all clients of the service together; beyond it, whoever holds most is closed.',
    ),
})

const migration = z.strictObject({
  exclude: z
    .array(text)
    .default([])
    .describe(
      'Tables that are left out of the migration, as `schema.table` the way the catalogue spells them.',
    ),
  keepRoles: z
    .array(text)
    .default([])
    .describe(
      'Roles that a fence leaves in besides those of Pontoon, e.g. of the monitoring; they must not write.',
    ),
  allowApplications: z
    .array(text)
    .default([])
    .describe(
      'Values of application_name that may be connected to the primary side past Pontoon when a cutover begins; the fence ends them.',
    ),
  lagMaxMs: durationMs
    .default(100)
    .describe('A cutover begins once sync takes no longer than this to carry a row over.'),
  longTransactionMs: durationMs
    .default(2_000)
    .describe('A cutover does not begin while a transaction that has written is open for longer.'),
})

export const postgresService = z.strictObject({
  protocol: z.literal('postgres').describe('What the clients speak.'),
  listen: listen.describe(
    'Where clients connect: `address:port`, `localhost:port` (127.0.0.1 and ::1), the full path of a Unix socket, or a list of these.',
  ),
  databases: z
    .array(text)
    .min(1)
    .optional()
    .describe('Databases that clients may ask for; default: any.'),
  clientAuth: clientAuth.default({ mode: 'scram' }).describe('How clients log in.'),
  users: z
    .record(text, userEntry)
    .optional()
    .describe('Who may come in, and as whom they go out on each side.'),
  consoleUsers: z
    .array(text)
    .min(1)
    .optional()
    .describe('Who may use the console (database `pgbouncer` or `pontoon`); default: nobody.'),
  statsUsers: z.array(text).min(1).optional().describe('Who may only SHOW there.'),
  clientTls: clientTls.default({ mode: 'disable' }).describe('TLS towards clients.'),
  pool: pool.prefault({}).describe('Servers kept open and shared by the clients.'),
  limits: limits.prefault({}).describe('Bounds on what clients may use.'),
  source: sideSchema.describe('The self-hosted database.'),
  target: sideSchema.describe('The managed database.'),
  route: routeDefaults.prefault({}).describe('How the traffic of a new service goes.'),
  migration: migration.prefault({}).describe('How the database is moved to the target.'),
})

const adminToken = z.strictObject({
  name: text.describe('Shown in the audit log as the actor.'),
  role: z.enum(['viewer', 'operator']).describe('A viewer reads, an operator also changes.'),
  secret: secret.describe('The bearer token.'),
})

const admin = z.strictObject({
  listen: text
    .default('127.0.0.1:7070')
    .describe(
      '`address:port` of the admin API and status page; beyond loopback needs tokens and TLS.',
    ),
  tokens: z
    .array(adminToken)
    .default([])
    .describe('Who may use the API; without any, everyone on loopback is an operator.'),
  tls: z
    .strictObject({
      cert: path.describe('PEM file of the certificate of the admin API.'),
      key: path.describe('PEM file of its key.'),
    })
    .optional()
    .describe('TLS of the admin API.'),
})

/** The name of a service is part of URLs, metrics and file names. */
const serviceName = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/)

export const configSchema = z.strictObject({
  probe: z
    .strictObject({ listen: text.describe('`address:port` of the probe listener.') })
    .optional()
    .describe('Health and metrics only, for kubelet and Prometheus.'),
  admin: admin.prefault({}).describe('The admin API and status page.'),
  state: z
    .strictObject({ file: path.default('./state').describe('Folder of both.') })
    .prefault({})
    .describe('Where the routes and the audit log are kept.'),
  workers: z.literal(1).default(1).describe('Worker processes.'),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('What is logged.'),
    })
    .prefault({})
    .describe('Logging.'),
  drainTimeoutMs: durationMs
    .default(30_000)
    .describe('How long SIGTERM waits for running transactions.'),
  services: z
    .record(serviceName, z.discriminatedUnion('protocol', [postgresService, redisService]))
    .describe('The databases that applications reach through Pontoon, by name.'),
})

export type Config = z.infer<typeof configSchema>
/** A service of either protocol. */
export type AnyServiceConfig = Config['services'][string]
/** A PostgreSQL service. */
export type ServiceConfig = z.infer<typeof postgresService>
export type SideConfig = z.infer<typeof sideSchema>
export type CredentialsConfig = z.infer<typeof credentials>
export type PasswordConfig = z.infer<typeof sidePassword>
export type SecretsManagerConfig = Extract<PasswordConfig, { secretsManager: string }>
export type SideAuthConfig = z.infer<typeof sideAuth>
export type AuthQueryConfig = z.infer<typeof authQuery>
export type ServerTlsConfig = z.infer<typeof serverTls>
export type ClientTlsConfig = z.infer<typeof clientTls>
export type UserEntry = z.infer<typeof userEntry>
export type AdminConfig = Config['admin']
export type RouteDefaults = ServiceConfig['route']
export type {
  CacheAuthConfig,
  RedisServiceConfig,
  RedisSideConfig,
  RedisUserEntry,
} from './redis-schema.ts'
