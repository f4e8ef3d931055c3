/**
 * What a change of the schema changes: the shape of each table as replication sees it (columns with
 * type, nullability, identity and generation; keys), and which tables are published. Read in one
 * statement and hashed here: the same on every major, so the two sides can be compared, and one
 * side with itself a moment later.
 */
import { createHash } from 'node:crypto'
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { qualified, type QualifiedName } from './quote.ts'

export interface SchemaFingerprint {
  /** Hash of each table that there is, by its quoted name. */
  readonly shapes: ReadonlyMap<string, string>
  /** Quoted names of the members of `publication`. */
  readonly published: ReadonlySet<string>
  /** Over both. */
  readonly hash: string
}

export interface FingerprintOptions extends SqlOptions {
  readonly publication?: string
}

/** Of `tables` by name; a table that is gone has no shape. */
export async function schemaFingerprint(
  client: SqlClient,
  tables: readonly QualifiedName[],
  options: FingerprintOptions = {},
): Promise<SchemaFingerprint> {
  const names = JSON.stringify(tables.map(({ schema, name }) => [schema, name]))
  const { rows } = await client.query(
    shapesSql(client.major),
    [names, options.publication ?? null],
    options,
  )
  const shapes = new Map<string, string>()
  const published = new Set<string>()
  for (const [schema, name, isPublished, columns, keys] of rows) {
    const key = qualified({ schema: schema ?? '', name: name ?? '' })
    shapes.set(key, hashOf([columns ?? '', keys ?? '']))
    if (isPublished === 't') published.add(key)
  }
  const parts = [...shapes].flatMap(([name, shape]) => [name, shape, String(published.has(name))])
  return { shapes, published, hash: hashOf(parts) }
}

/**
 * Columns by name, since that is how replication matches them: their order may differ after years
 * of DDL. attgenerated came with 12.
 */
function shapesSql(major: number): string {
  const generated = major >= 12 ? "a.attgenerated <> ''" : 'false'
  return `SELECT n.nspname, c.relname,
    EXISTS (SELECT FROM pg_catalog.pg_publication_rel r
      JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
      WHERE r.prrelid = c.oid AND p.pubname = $2),
    (SELECT json_agg(json_build_array(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
        a.attnotnull, ${generated}, a.attidentity) ORDER BY a.attname COLLATE "C")
      FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT json_agg(json_build_array(i.indisprimary, i.indisreplident, (
          SELECT json_agg(a.attname ORDER BY k.place)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum))
        ORDER BY i.indisprimary, i.indisreplident)
      FROM pg_catalog.pg_index i
      WHERE i.indrelid = c.oid AND i.indisvalid AND (i.indisprimary OR i.indisreplident))
  FROM json_array_elements($1::json) AS wanted(pair)
  JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.pair->>0
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.pair->>1
  ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`
}

function hashOf(parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('hex')
}
