/**
 * How a side stands to the application: which side its mark names, whether its fence stands, and
 * who could write there past it. Asked of the database itself, never of what Pontoon remembers.
 */
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import type { Side } from '../../../shared/side.ts'
import { readMark, type Mark } from '../control-schema.ts'
import { arrayLiteral, fenceHoles, isFenced } from '../fence.ts'
import type { MigrationContext } from '../side-login.ts'
import { fenceSpec } from '../switch/switch-sides.ts'

export interface Standing {
  readonly side: Side
  readonly mark: Mark | undefined
  readonly isFenced: boolean
  /** Roles that may connect although the fence stands. */
  readonly holes: readonly string[]
  /** Who is connected and none of Pontoon's roles, while the fence stands; at most `listedMax`. */
  readonly visitors: readonly string[]
}

const listedMax = 10

export async function readStanding(
  client: SqlClient,
  context: MigrationContext,
  side: Side,
  options?: SqlOptions,
): Promise<Standing> {
  const mark = await readMark(client)
  const fenced = await isFenced(client)
  if (!fenced) return { side, mark, isFenced: false, holes: [], visitors: [] }
  const spec = fenceSpec(context, side)
  return {
    side,
    mark,
    isFenced: true,
    holes: await fenceHoles(client, spec, options),
    visitors: await readVisitors(client, spec.ownRoles, options),
  }
}

async function readVisitors(
  client: SqlClient,
  ownRoles: readonly string[],
  options?: SqlOptions,
): Promise<readonly string[]> {
  const { rows } = await client.query(
    `SELECT pid, usename, application_name, COALESCE(pg_catalog.host(client_addr), 'local')
     FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND backend_type = 'client backend'
       AND usename <> ALL ($1::text[]) AND usename NOT IN ('rdsadmin', 'rdsrepladmin')
     ORDER BY pid LIMIT ${listedMax}`,
    [arrayLiteral(ownRoles)],
    options,
  )
  return rows.map(([pid, user, application, address]) => {
    const called = (application ?? '') === '' ? '' : ` (${application})`
    return `${user}${called} from ${address}, pid ${pid}`
  })
}
