/**
 * Reads on the side that is not primary, where the application's roles may not log in while it is
 * fenced. Servers for them log in as the `readUser` of that side and act as the client's role from
 * the start (`role` as a startup option, to which RESET goes back), so that privileges, row
 * security and `"$user"` are the client's own; the readUser has to be a member of that role. What
 * ALTER ROLE has set for the client's role does not come with that and is asked for.
 */
import type { ServiceConfig, SideConfig } from '../../config/schema.ts'
import { openQueryConnection, type Rows } from '../../net/pg/query.ts'
import type { LoginOptions } from '../../net/pg/login.ts'
import type { Secrets } from '../../net/secrets/secrets.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Credentials } from './credentials.ts'
import type { ServerKind } from './pool-set.ts'

/** The readUser of the kind's side, or null when none is configured. */
export function readerOf(
  config: ServiceConfig,
  kind: ServerKind,
  secrets: Secrets,
): Credentials | null {
  const side: SideConfig = config[kind.side]
  const { readUser, host, port } = side
  const user = readUser?.user
  if (readUser === undefined || user === undefined) return null
  const password = secrets.of(readUser, { host, port, user }) ?? null
  return { user, password, database: side.database ?? kind.database }
}

/** How old the knowledge of a role's settings may get. */
const ageMaxMs = 30_000

/** Different roles remembered; users come from clients. */
const rolesMax = 1_000

/** Asked with search_path=pg_catalog. Only settings that anybody may set. */
const settingsSql = `SELECT e.entry FROM pg_db_role_setting d
JOIN pg_roles r ON r.oid = d.setrole LEFT JOIN pg_database b ON b.oid = d.setdatabase,
LATERAL unnest(d.setconfig) AS e(entry)
WHERE r.rolname = $1 AND (d.setdatabase = 0 OR b.datname = current_database())
AND NOT EXISTS (SELECT FROM pg_settings g WHERE g.context <> 'user'
  AND lower(g.name) = lower(split_part(e.entry, '=', 1)))
ORDER BY d.setdatabase <> 0`

interface Known {
  readonly options: Promise<string>
  readonly atMs: number
}

export class RoleOptions {
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Startup options that make a login of the reader act as `role`. Rejects as a login does. */
  of(role: string, reader: LoginOptions): Promise<string> {
    const { host, port } = reader.endpoint
    const key = JSON.stringify([role, host, port, reader.parameters.get('database')])
    const now = this.#clock.nowMs()
    const known = this.#known.get(key)
    if (known !== undefined && now - known.atMs < ageMaxMs) return known.options
    if (this.#known.size >= rolesMax) this.#known.clear()
    const options = ask(role, reader)
    this.#known.set(key, { options, atMs: now })
    options.catch(() => this.#known.delete(key))
    return options
  }
}

async function ask(role: string, reader: LoginOptions): Promise<string> {
  const parameters = new Map([...reader.parameters, ['options', '-c search_path=pg_catalog']])
  const connection = await openQueryConnection({ ...reader, parameters })
  try {
    const rows: Rows = await connection.query(settingsSql, reader.timeoutMs, [role])
    const entries = [`role=${role}`, ...rows.map(([entry]) => entry ?? '')]
    return entries.map((entry) => `-c ${escaped(entry)}`).join(' ')
  } finally {
    connection.close()
  }
}

/** White space ends an option, and a backslash takes what follows as it is (pg_split_opts). */
function escaped(entry: string): string {
  return entry.replaceAll(/[\s\\]/g, '\\$&')
}
