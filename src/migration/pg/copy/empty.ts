/** Empties tables of the target. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { qualified, type QualifiedName } from '../quote.ts'
import { copyLimits } from './limits.ts'

/** `before` runs in the same transaction. */
export async function emptyTables(
  target: SqlClient,
  tables: readonly QualifiedName[],
  before = '',
): Promise<void> {
  const referenced = await referencedTables(target)
  for (const table of tables) {
    const name = qualified(table)
    // TRUNCATE refuses a table that foreign keys point to, even when nothing in them does.
    const empty = referenced.has(name) ? `DELETE FROM ONLY ${name}` : `TRUNCATE TABLE ONLY ${name}`
    await target.run(`${before === '' ? '' : `${before}; `}${empty}`, {
      timeoutMs: copyLimits.statementMs,
    })
  }
}

/** Quoted names of the tables that foreign keys of others point to. */
export async function referencedTables(target: SqlClient): Promise<ReadonlySet<string>> {
  const { rows } = await target.query(
    `SELECT DISTINCT n.nspname, c.relname FROM pg_catalog.pg_constraint k
     JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conrelid <> k.confrelid`,
  )
  return new Set(
    rows.map(([schema, name]) => qualified({ schema: schema ?? '', name: name ?? '' })),
  )
}
