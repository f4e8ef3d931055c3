/** What a verification starts from: the primary side, the two catalogues, what both can hash alike. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import type { Side } from '../../../shared/side.ts'
import { readMark } from '../control-schema.ts'
import { directionFrom, publicationName } from '../names.ts'
import { readable } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { subscriptionsSql } from '../subscription.ts'
import { readTables } from '../tables.ts'
import { readSyncState, type SyncState } from './alignment.ts'
import type { SideCatalogue } from './compared-table.ts'
import { hashSql, type HashForm } from './row-hash.ts'
import { readColumnFacts } from './table-columns.ts'

export interface Setting {
  readonly primary: Side
  readonly sync: SyncState
  /** Tables whose rows the server of the other side is still copying: their changes wait. */
  readonly copying: readonly string[]
  readonly form: HashForm
  /** Another value where there may be other rows, although tables of the same names and numbers. */
  readonly identity: readonly string[]
  readonly catalogues: { readonly primary: SideCatalogue; readonly other: SideCatalogue }
}

/** Throws MIGRATION_REFUSED where the two databases do not agree on which side is primary. */
export async function readSetting(
  context: MigrationContext,
  exclude: readonly string[],
): Promise<Setting> {
  const clients = await Promise.all([
    connectAs(context, { side: 'source', purpose: 'read', task: 'verify' }),
    connectAs(context, { side: 'target', purpose: 'read', task: 'verify' }),
  ])
  try {
    const [source, target] = clients
    const primary = await primaryOf(source, target)
    const [here, there] = primary === 'source' ? [source, target] : [target, source]
    return {
      primary,
      sync: await readSyncState(there, context, primary),
      copying: await tablesCopying(there, context, primary),
      form: await hashFormOf(here, there),
      identity: [await identityOf(here), await identityOf(there)],
      catalogues: {
        primary: await catalogueOf(here, exclude),
        other: await catalogueOf(there, exclude),
      },
    }
  } finally {
    for (const client of clients) client.close()
  }
}

/** As the marks in both databases say; the source where there is none yet. */
async function primaryOf(source: SqlClient, target: SqlClient): Promise<Side> {
  const [one, two] = await Promise.all([readMark(source), readMark(target)])
  if (one !== undefined && two !== undefined && one.primary !== two.primary) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `the source says that the ${one.primary} takes the writes (epoch ${one.epoch}), the target ` +
        `that the ${two.primary} does (epoch ${two.epoch}): finish or abort the switch first`,
    )
  }
  return one?.primary ?? two?.primary ?? 'source'
}

async function tablesCopying(
  other: SqlClient,
  { service }: MigrationContext,
  primary: Side,
): Promise<readonly string[]> {
  const publication = publicationName(service, directionFrom(primary))
  const { rows } = await other.query(
    `SELECT n.nspname, c.relname FROM ${subscriptionsSql(other.major)} s
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     JOIN pg_catalog.pg_subscription_rel r ON r.srsubid = s.oid AND r.srsubstate <> 'r'
     JOIN pg_catalog.pg_class c ON c.oid = r.srrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE d.datname = pg_catalog.current_database() AND $1 = ANY (s.subpublications)
     ORDER BY 1, 2`,
    [publication],
  )
  return rows.map(([schema, name]) => readable({ schema: schema ?? '', name: name ?? '' }))
}

/** The cluster, and its subscriptions: each copy ends with a new one. */
async function identityOf(client: SqlClient): Promise<string> {
  const subscriptions = await client.value(
    `SELECT json_build_array(pg_catalog.current_database(), json_agg(s.oid::bigint ORDER BY s.oid))
     FROM ${subscriptionsSql(client.major)} s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     WHERE d.datname = pg_catalog.current_database()`,
  )
  return `${await systemOf(client)} ${subscriptions ?? ''}`
}

async function systemOf(client: SqlClient): Promise<string> {
  try {
    const id = await client.value('SELECT system_identifier FROM pg_catalog.pg_control_system()')
    return id ?? ''
  } catch (error) {
    // Everybody may ask, unless somebody has revoked it.
    if (hasSqlstate(error, '42501')) return client.where
    throw error
  }
}

async function catalogueOf(client: SqlClient, exclude: readonly string[]): Promise<SideCatalogue> {
  const tables = await readTables(client, exclude)
  const facts = await readColumnFacts(
    client,
    tables.map(({ oid }) => oid),
  )
  return { tables, facts }
}

async function hashFormOf(here: SqlClient, there: SqlClient): Promise<HashForm> {
  const encoding =
    'SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()'
  const [one, two] = [await here.value(encoding), await there.value(encoding)]
  const floatsAsBytes = Math.min(here.major, there.major) < 12
  const asBytes = [one, two].includes('SQL_ASCII')
  const asUtf8 = one !== two && !asBytes
  const form: HashForm = { kind: 'extended', asUtf8, asBytes, floatsAsBytes }
  const isFast = Math.min(here.major, there.major) >= 11 && (await isAlike(here, there, form))
  return isFast ? form : { ...form, kind: 'md5' }
}

/** The fast hash depends on the byte order of the machine. */
async function isAlike(here: SqlClient, there: SqlClient, form: HashForm): Promise<boolean> {
  const probe = `SELECT ${hashSql(form, "'Pontoon compares both sides'")}`
  return (await here.value(probe)) === (await there.value(probe))
}
