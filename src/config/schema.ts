/**
 * The one schema of the configuration file: defaults, units and descriptions stand here and
 * nowhere else. The JSON Schema and the table in docs/configuration.md are generated from it.
 */
import { z } from 'zod'
import { phaseNames } from '../routing/route.ts'

const port = z.number().int().min(1).max(65_535)
const durationMs = z.number().int().min(1).max(86_400_000)
const percent = z.number().min(0).max(100)
const secret = z.string().min(1)

/** TLS modes as libpq names them (sslmode), without `allow`. */
export const tlsModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

const serverTls = z.strictObject({
  mode: z.enum(tlsModes).default('prefer').describe('As libpq sslmode: what to ask of the server.'),
  ca: z.string().optional().describe('PEM file of trusted CAs, or `aws-rds` for the bundled RDS CAs.'),
  cert: z.string().optional().describe('PEM file of the client certificate shown to the server.'),
  key: z.string().optional().describe('PEM file of its key.'),
  servername: z.string().optional().describe('Name to verify and send as SNI instead of host.'),
})

const clientTls = z.strictObject({
  mode: z.enum(['disable', 'prefer', 'require']).default('disable'),
  cert: z.string().optional().describe('PEM file of the certificate shown to clients.'),
  key: z.string().optional().describe('PEM file of its key.'),
  clientCa: z.string().optional().describe('PEM file of CAs that client certificates must chain to.'),
})

const credentials = z.strictObject({
  user: z.string().min(1).optional().describe('Role on that side; default: the client\'s name.'),
  password: secret.optional(),
})

const userEntry = z.strictObject({
  verifier: secret.optional().describe('Password, md5 hash or SCRAM verifier that proves the client.'),
  source: credentials.optional(),
  target: credentials.optional(),
})

const sideSchema = z.strictObject({
  host: z.string().min(1).describe('Host name, address, or folder of a Unix socket.'),
  port: port.default(5432),
  database: z.string().min(1).optional().describe('Default: the database the client asks for.'),
  user: z.string().min(1).optional().describe('Default: the name the client gives.'),
  password: secret.optional(),
  readUser: credentials.optional().describe('Read-only role for comparison, checks and weighted reads.'),
  controlUser: credentials.optional().describe('Role of the orchestrator.'),
  replicationUser: credentials.optional().describe('Role that owns subscriptions.'),
  hostSeenFromOtherSide: z.string().optional(),
  tls: serverTls.default({ mode: 'prefer' }),
  connectTimeoutMs: durationMs.default(5_000),
})

const clientAuth = z.strictObject({
  mode: z.enum(['trust', 'md5', 'scram', 'passthrough']).default('scram'),
})

const pool = z.strictObject({
  mode: z.enum(['session', 'transaction']).default('transaction'),
  size: z.number().int().min(1).max(10_000).default(20).describe('Servers per side, user and database.'),
  queueMax: z.number().int().min(0).max(1_000_000).default(1_000).describe('Clients that may wait for a server.'),
  queueTimeoutMs: durationMs.default(5_000).describe('How long a client waits for a server.'),
  idleTimeoutMs: durationMs.default(600_000).describe('An unused server is closed after this long.'),
  maxLifetimeMs: durationMs.default(3_600_000).describe('A server is closed at its next release after this long.'),
})

const limits = z.strictObject({
  clientsMax: z.number().int().min(1).max(1_000_000).default(10_000),
  loginTimeoutMs: durationMs.default(10_000).describe('A client must have logged in after this long.'),
  startupBytesMax: z.number().int().min(1_024).max(1_048_576).default(65_536),
  messageBytesMax: z.number().int().min(65_536).max(1_073_741_823).default(1_073_741_823)
    .describe('Largest frontend message relayed; PostgreSQL itself stops at 1 GiB - 1.'),
  slowReaderMs: durationMs.default(60_000).describe('A client that reads nothing of a waiting result for this long is closed.'),
})

const routeDefaults = z.strictObject({
  phase: z.enum(phaseNames).default('self-hosted'),
  reads: percent.optional(),
  readAfterWriteMs: z.number().int().min(0).max(3_600_000).default(1_000)
    .describe('A session that wrote reads from the primary for this long.'),
})

const listen = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])

export const postgresService = z.strictObject({
  protocol: z.literal('postgres'),
  listen: listen.describe('host:port, `localhost:port` (127.0.0.1 and ::1), a Unix socket path, or a list.'),
  databases: z.array(z.string().min(1)).optional().describe('What clients may ask for; default: any.'),
  clientAuth: clientAuth.default({ mode: 'scram' }),
  users: z.record(z.string().min(1), userEntry).optional().describe('Who may come in and as whom they go out.'),
  clientTls: clientTls.default({ mode: 'disable' }),
  pool: pool.prefault({}),
  limits: limits.prefault({}),
  source: sideSchema,
  target: sideSchema,
  route: routeDefaults.prefault({}),
})

const adminToken = z.strictObject({
  name: z.string().min(1),
  role: z.enum(['viewer', 'operator']),
  secret: secret,
})

export const configSchema = z.strictObject({
  probe: z.strictObject({ listen: z.string().min(1) }).optional()
    .describe('Health and metrics only, for kubelet and Prometheus.'),
  admin: z.strictObject({
    listen: z.string().min(1).default('127.0.0.1:7070'),
    tokens: z.array(adminToken).default([]),
    tls: z.strictObject({ cert: z.string(), key: z.string() }).optional(),
  }).prefault({}),
  state: z.strictObject({ file: z.string().min(1).default('./state') }).prefault({})
    .describe('Folder of the state file and audit log.'),
  workers: z.literal(1).default(1),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
  drainTimeoutMs: durationMs.default(30_000).describe('How long SIGTERM waits for running transactions.'),
  services: z.record(z.string().regex(/^[a-z][a-z0-9-]{0,62}$/), postgresService),
})

export type Config = z.infer<typeof configSchema>
export type ServiceConfig = z.infer<typeof postgresService>
export type SideConfig = z.infer<typeof sideSchema>
export type ServerTlsConfig = z.infer<typeof serverTls>
export type ClientTlsConfig = z.infer<typeof clientTls>
export type UserEntry = z.infer<typeof userEntry>
export type AdminConfig = Config['admin']
