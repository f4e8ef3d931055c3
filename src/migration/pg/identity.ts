/**
 * How replication finds a changed row on the other side, and what keeps it from it: SQL for the
 * catalogue's part, words for ours. A table is published only if it has an identity.
 */

/** REPLICA IDENTITY: how changed rows are found on the other side. */
export type ReplicaIdentity = 'default' | 'nothing' | 'full' | 'index'

export interface Identified {
  readonly replicaIdentity: ReplicaIdentity
  /** Columns that identify a row for replication: of the key or the identity index. */
  readonly identityColumns: readonly string[]
  /** With REPLICA IDENTITY FULL and no primary key: columns that keep rows from being found. */
  readonly columnsWithoutEquality: readonly string[]
}

export interface IdentityFault {
  readonly text: string
  readonly fix: string
}

/** What is the matter with the identity of a table; null when its rows can be found. */
export function identityFault(table: Identified): IdentityFault | null {
  const { replicaIdentity, identityColumns, columnsWithoutEquality } = table
  if (replicaIdentity === 'full') {
    return columnsWithoutEquality.length === 0 ? null : fullFault(columnsWithoutEquality)
  }
  if (replicaIdentity !== 'nothing' && identityColumns.length > 0) return null
  return {
    text: 'has no primary key (a deferrable one does not count) and no replica identity',
    fix: 'give it a primary key, or ALTER TABLE … REPLICA IDENTITY FULL',
  }
}

export function fullFault(columns: readonly string[]): IdentityFault {
  return {
    text:
      `has REPLICA IDENTITY FULL and no primary key, and the receiving server cannot compare ` +
      `${columns.join(', ')}: the type has no equality`,
    fix: 'give it a primary key, or a unique index over NOT NULL columns and REPLICA IDENTITY USING INDEX',
  }
}

/** An index of the relation `c` that identifies rows. One that may be deferred does not. */
export function isIdentityIndexSql(index: string): string {
  return `${index}.indisunique AND ${index}.indimmediate AND ${index}.indisvalid`
}

/**
 * A JSON array: the columns of the relation `c` that hold, at whatever depth, a type without
 * equality. With REPLICA IDENTITY FULL the whole row is compared, unless there is a primary key.
 */
export const columnsWithoutEqualitySql = `(
  WITH RECURSIVE part(name, place, type) AS (
    SELECT a.attname, a.attnum, a.atttypid FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND COALESCE(pg_catalog.to_jsonb(a)->>'attgenerated', '') = ''
      AND c.relreplident = 'f' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = c.oid AND i.indisprimary AND ${isIdentityIndexSql('i')})
    UNION
    SELECT part.name, part.place, within.type FROM part
    JOIN pg_catalog.pg_type t ON t.oid = part.type
    CROSS JOIN LATERAL (
      SELECT t.typbasetype WHERE t.typtype = 'd'
      UNION ALL SELECT t.typelem WHERE t.typcategory = 'A'
      UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f
        WHERE t.typtype = 'c' AND f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
    ) AS within(type)
  )
  SELECT COALESCE(pg_catalog.json_agg(bare.name ORDER BY bare.place), '[]') FROM (
    SELECT DISTINCT part.name, part.place FROM part
    JOIN pg_catalog.pg_type t ON t.oid = part.type
    WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
      WHERE o.opcdefault AND m.amname IN ('btree', 'hash') AND (o.opcintype = t.oid OR EXISTS (
        SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = t.oid
          AND k.casttarget = o.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i')))
  ) AS bare)`
