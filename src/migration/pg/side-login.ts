/**
 * As whom Pontoon's own work logs in to a side of a service, and the connections it makes.
 *
 * - `control`: the orchestrator; makes Pontoon's schema, moves fences, reads and ends backends. Its
 *   sessions begin with default_transaction_read_only off, else it could not undo a fence.
 * - `replication`: owns subscriptions and slots; the other side's subscription logs in as it.
 * - `read`: compares and checks; read-only.
 *
 * Without a role of its own in the configuration, a purpose falls back to the control role, and
 * that to the role of the side, for set-ups where one role does all.
 */
import type { CredentialsConfig, ServiceConfig } from '../../config/schema.ts'
import { SqlClient } from '../../net/pg/sql-client.ts'
import type { LoginOptions } from '../../net/pg/login.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import { serverTls } from '../../net/tls.ts'
import { PontoonError } from '../../shared/errors.ts'
import type { Side } from '../../shared/side.ts'

export const purposes = ['control', 'replication', 'read'] as const
export type Purpose = (typeof purposes)[number]

export interface ConnectOptions {
  readonly side: Side
  readonly purpose: Purpose
  /** Default: the database of the service. */
  readonly database?: string
  /** What pg_stat_activity shows, after `pontoon `. */
  readonly task: string
  /** Further startup parameters, e.g. `replication`. */
  readonly parameters?: Readonly<Record<string, string>>
}

/** One PostgreSQL service, as everything in migration/pg gets it. */
export interface MigrationContext {
  readonly service: string
  readonly config: ServiceConfig
  readonly secrets: Secrets
}

/** Rejects as login() does, and with MIGRATION_REFUSED where the server is too old. */
export async function connectAs(
  context: MigrationContext,
  options: ConnectOptions,
): Promise<SqlClient> {
  const { side } = options
  const hasOwnRole = context.config[side].controlUser !== undefined
  return await connectWith(loginAs(context, options), side, hasOwnRole)
}

/** Logical replication came with it. */
const majorMin = 10
/**
 * By the major that brought it. Older ones do not know it, so it cannot go with the login.
 * With `jit`, which is on by default, a look into the catalogues is compiled each time: that takes
 * longer than the look, also while the clients of a switch wait.
 */
const laterSettings: readonly (readonly [major: number, assignment: string])[] = [
  [11, 'jit = off'],
  [14, 'idle_session_timeout = 0'],
  [17, 'transaction_timeout = 0'],
]

/** As connectAs(), for a login of the caller's own. */
export async function connectWith(
  login: LoginOptions,
  side: Side,
  hasOwnRole = true,
): Promise<SqlClient> {
  const client = await SqlClient.connect(login).catch((error: unknown) => {
    throw refusedLogin(error, login, { side, hasOwnRole })
  })
  const known = laterSettings.filter(([major]) => client.major >= major)
  if (known.length > 0)
    await client.run(known.map(([, assignment]) => `SET ${assignment}`).join('; '))
  if (!(client.major < majorMin)) return client
  client.close()
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `${client.where} is PostgreSQL ${client.serverVersion}, which has no logical replication: ` +
      `upgrade it to ${majorMin} or later first (pg_upgrade)`,
  )
}

/** What is behind a refusal that the server's words do not tell. */
function refusedLogin(
  error: unknown,
  { parameters }: LoginOptions,
  { side, hasOwnRole }: { readonly side: Side; readonly hasOwnRole: boolean },
): unknown {
  if (!(error instanceof PontoonError)) return error
  if (error.message.includes('in a read-only transaction')) {
    return new PontoonError(
      error.code,
      `${error.message}. A login event trigger of the ${side} writes, which the fence does not ` +
        "allow: let it leave Pontoon's roles alone, or ALTER EVENT TRIGGER … DISABLE",
      { cause: error },
    )
  }
  if (!/password authentication failed|role ".*" does not exist/.test(error.message)) return error
  const user = parameters.get('user')
  // The mistakes that everybody makes once: the roles are not configured, or not there yet.
  const advice = hasOwnRole
    ? `Where ${user} is a role of Pontoon's own that is not there yet, pontoon schema makes it on ` +
      `the ${side}, as the administrator that --${side}-admin names, or prints the SQL for him ` +
      '(--print-sql); otherwise mend its password in the configuration'
    : `The ${side} has no controlUser in the configuration, so ${user} was tried: set controlUser, ` +
      'replicationUser and readUser on both sides; pontoon schema makes these roles'
  return new PontoonError(error.code, `${error.message}. ${advice}`, { cause: error })
}

export function loginAs(context: MigrationContext, options: ConnectOptions): LoginOptions {
  const { config, secrets } = context
  const { side: name, purpose, task } = options
  const side = config[name]
  const endpoint = { host: side.host, port: side.port, label: `the ${name}` }
  const role = roleOf(config, name, purpose)
  const { user } = role
  const parameters = {
    user,
    database: options.database ?? databaseOf(context, name),
    application_name: `pontoon ${task}`,
    client_encoding: 'UTF8',
    options: sessionOptions(purpose),
    ...options.parameters,
  }
  return {
    endpoint,
    tls: serverTls(side.tls, side.host).made,
    parameters: new Map(Object.entries(parameters)),
    password: secrets.of(role, { ...endpoint, user }) ?? null,
    timeoutMs: side.connectTimeoutMs,
  }
}

/** Role and password of a purpose. Throws CONFIG_INVALID where none is configured. */
export function roleOf(
  config: ServiceConfig,
  name: Side,
  purpose: Purpose,
): CredentialsConfig & { readonly user: string } {
  const side = config[name]
  const own = { control: undefined, replication: side.replicationUser, read: side.readUser }[
    purpose
  ]
  for (const role of [own, side.controlUser, side]) {
    const { user, password, auth } = role ?? {}
    if (user !== undefined) return { user, password, auth }
  }
  throw new PontoonError(
    'CONFIG_INVALID',
    `${name}: set controlUser; a migration needs a role there`,
  )
}

/** The one database that a migrated service has on that side. Throws CONFIG_INVALID. */
export function databaseOf({ service, config }: MigrationContext, side: Side): string {
  const named = config[side].database ?? config.databases?.[0]
  if (named !== undefined && (config.databases?.length ?? 1) === 1) return named
  throw new PontoonError(
    'CONFIG_INVALID',
    `${service}: a service that is migrated names its one database: set databases: [NAME]`,
  )
}

/** Nothing that a database or role has set may change what our statements mean. */
function sessionOptions(purpose: Purpose): string {
  const settings = {
    search_path: 'pg_catalog',
    default_transaction_read_only: purpose === 'read' ? 'on' : 'off',
    default_transaction_isolation: 'read\\ committed',
    DateStyle: 'ISO',
    IntervalStyle: 'postgres',
    TimeZone: 'UTC',
    extra_float_digits: '3',
    bytea_output: 'hex',
    // Of values that are copied as text; money in the money of one side would be another amount.
    array_nulls: 'on',
    lc_monetary: 'C',
    xmloption: 'content',
    // Of statements, and of names in what the catalogues answer.
    standard_conforming_strings: 'on',
    transform_null_equals: 'off',
    quote_all_identifiers: 'off',
    statement_timeout: '0',
    lock_timeout: '0',
    // A fence or mark that a crash takes back after it was reported would be believed all the same.
    synchronous_commit: 'on',
    idle_in_transaction_session_timeout: '0',
    // The server notices within half a minute that our host is gone, and with it what we have locked.
    tcp_keepalives_idle: '10',
    tcp_keepalives_interval: '5',
    tcp_keepalives_count: '3',
  }
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ')
}
