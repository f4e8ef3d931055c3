/**
 * Foreign keys, when all rows are there: added without a look at the rows, which is quick but locks
 * two tables, then validated, which takes long and locks nobody out.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { identifier, qualified, readable } from '../quote.ts'
import type { BuildStep } from './build-plan.ts'
import type { TableDefinitions } from './definitions.ts'
import { readPresent } from './present.ts'

export interface ForeignKeyPlan {
  /** One after the other. */
  readonly add: readonly BuildStep[]
  /** Independent of each other. */
  readonly validate: readonly BuildStep[]
  readonly remarks: readonly string[]
}

export async function planForeignKeys(
  target: SqlClient,
  tables: ReadonlyMap<string, TableDefinitions>,
): Promise<ForeignKeyPlan> {
  const add: BuildStep[] = []
  const validate: BuildStep[] = []
  const remarks: string[] = []
  for (const table of tables.values()) {
    if (table.foreignKeys.length === 0) continue
    const present = await readPresent(target, table)
    for (const { name, definition, references, isValidated } of table.foreignKeys) {
      const what = `${readable(table)}: ${name}`
      if (references !== null && !tables.has(qualified(references))) {
        remarks.push(`Foreign key ${what} is left out: ${readable(references)} is not copied.`)
        continue
      }
      // A partitioned table cannot have one that is not valid (before 18).
      const atOnce = table.isPartitioned || !isValidated
      const isThere = present.constraints.has(name)
      const alter = `ALTER TABLE ${table.isPartitioned ? '' : 'ONLY '}${qualified(table)}`
      if (!isThere) {
        const sql = `${alter} ADD CONSTRAINT ${identifier(name)} ${definition}`
        add.push({ name: what, sql: atOnce ? sql : `${sql} NOT VALID` })
      }
      if (!atOnce && (!isThere || present.unvalidated.has(name)))
        validate.push({ name: what, sql: `${alter} VALIDATE CONSTRAINT ${identifier(name)}` })
    }
  }
  return { add, validate, remarks }
}
