/**
 * Statements that give a table of the target what the source's has, as far as it is missing:
 * indexes first (any number at once), then what turns them into keys, then checks and identity.
 */
import { identifier, qualified } from '../quote.ts'
import type { IndexDefinition, KeyConstraint, TableDefinitions } from './definitions.ts'
import type { Present } from './present.ts'

export interface BuildStep {
  /** For people: what is being built. */
  readonly name: string
  readonly sql: string
}

export interface BuildPlan {
  /** Independent of each other. */
  readonly indexes: readonly BuildStep[]
  /** One after the other, after the indexes. */
  readonly afterwards: readonly BuildStep[]
}

export function planBuild(table: TableDefinitions, present: Present): BuildPlan {
  const indexes: BuildStep[] = []
  const afterwards: BuildStep[] = []
  for (const index of table.indexes) {
    if (!index.isValid && !table.isPartitioned) continue
    const { constraint } = index
    const isThere = present.indexes.has(qualified(index))
    if (constraint === null || isBuiltAsIndex(table, constraint)) {
      if (!isThere) indexes.push({ name: index.name, sql: index.definition })
    }
    if (constraint !== null && !present.constraints.has(constraint.name))
      afterwards.push({ name: constraint.name, sql: addKeySql(table, index, constraint) })
  }
  for (const { name, definition } of table.checks) {
    // Of a table with children it is theirs too, so no ONLY.
    if (!present.constraints.has(name))
      afterwards.push({
        name,
        sql: `ALTER TABLE ${qualified(table)} ADD CONSTRAINT ${identifier(name)} ${definition}`,
      })
  }
  return { indexes, afterwards: [...afterwards, ...traits(table, present)] }
}

/** An index can be built beside others of its table; ADD CONSTRAINT alone locks them out. */
function isBuiltAsIndex(table: TableDefinitions, { type, definition }: KeyConstraint): boolean {
  return !table.isPartitioned && type !== 'x' && !definition.includes('WITHOUT OVERLAPS')
}

function addKeySql(
  table: TableDefinitions,
  index: IndexDefinition,
  constraint: KeyConstraint,
): string {
  const add = `${alter(table)} ADD CONSTRAINT ${identifier(constraint.name)}`
  if (!isBuiltAsIndex(table, constraint)) return `${add} ${constraint.definition}`
  const kind = constraint.type === 'p' ? 'PRIMARY KEY' : 'UNIQUE'
  const deferrable = constraint.isDeferrable ? ' DEFERRABLE' : ''
  const deferred = constraint.isDeferred ? ' INITIALLY DEFERRED' : ''
  return `${add} ${kind} USING INDEX ${identifier(index.name)}${deferrable}${deferred}`
}

const identityWords: Readonly<Record<string, string>> = { d: 'DEFAULT', n: 'NOTHING', f: 'FULL' }

function traits(table: TableDefinitions, present: Present): readonly BuildStep[] {
  const steps: BuildStep[] = []
  const clustered = table.indexes.find(({ isClustered }) => isClustered)?.name
  if (clustered !== undefined && clustered !== present.clustered)
    steps.push({
      name: 'CLUSTER ON',
      sql: `${alter(table)} CLUSTER ON ${identifier(clustered)}`,
    })
  const identity = table.indexes.find(({ isIdentity }) => isIdentity)?.name
  const isAsThere =
    table.replicaIdentity === present.replicaIdentity &&
    (identity === undefined || identity === present.identityIndex)
  if (isAsThere) return steps
  const words = identity === undefined ? undefined : `USING INDEX ${identifier(identity)}`
  const wanted = words ?? identityWords[table.replicaIdentity] ?? 'DEFAULT'
  return [...steps, { name: 'REPLICA IDENTITY', sql: `${alter(table)} REPLICA IDENTITY ${wanted}` }]
}

function alter(table: TableDefinitions): string {
  return `ALTER TABLE ONLY ${qualified(table)}`
}
