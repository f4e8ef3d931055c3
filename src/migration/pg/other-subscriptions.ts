/**
 * Subscriptions that write into a database and are none of a service's own: people have made them, or
 * Pontoon for another service. Their workers pass every fence.
 */
import type { SqlClient } from '../../net/pg/sql-client.ts'
import { directions, subscriptionName } from './names.ts'
import { subscriptionsSql } from './subscription.ts'
import { isUserRelationSql } from './tables.ts'

/** Those that are switched on and have a table of the migration. */
export async function otherSubscriptions(
  client: SqlClient,
  service: string,
  exclude: readonly string[],
): Promise<readonly string[]> {
  const [forward, reverse] = directions.map((direction) => subscriptionName(service, direction))
  const { rows } = await client.query(
    `SELECT DISTINCT s.subname FROM ${subscriptionsSql(client.major)} s
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     JOIN pg_catalog.pg_subscription_rel r ON r.srsubid = s.oid
     JOIN pg_catalog.pg_class c ON c.oid = r.srrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE d.datname = pg_catalog.current_database() AND s.subenabled
       AND s.subname !~ ('^(' || $1 || '|' || $2 || ')(_[0-9]+)?$')
       AND ${isUserRelationSql(exclude)} ORDER BY 1`,
    [forward ?? '', reverse ?? ''],
  )
  return rows.map(([name]) => name ?? '')
}
