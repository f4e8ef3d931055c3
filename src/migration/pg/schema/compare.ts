/**
 * What of a dump is on the target already, and whether it is the same there: by a dump of the
 * target, or, where pg_dump is too old for it, by names and the columns of tables.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { readTables, type Table } from '../tables.ts'
import type { DumpEntry } from './archive.ts'
import { hasOwner, keyOf } from './entry-name.ts'
import { linesOf } from './grants.ts'
import {
  attachedPartitions,
  existingIdentities,
  identitiesOf,
  populatedViews,
} from './identities.ts'

export type Presence =
  | { readonly kind: 'missing' }
  /** Has no name to look for; making it again changes nothing. */
  | { readonly kind: 'repeat' }
  | { readonly kind: 'equal' }
  | { readonly kind: 'not-compared' }
  | { readonly kind: 'differs'; readonly detail: string }

export type Compare = (entry: DumpEntry) => Presence

const missing: Presence = { kind: 'missing' }
const equal: Presence = { kind: 'equal' }
const notCompared: Presence = { kind: 'not-compared' }

export interface DumpComparison {
  readonly target: readonly DumpEntry[]
  readonly isSameMajor: boolean
  /** Who owns on the target what this role owns on the source. */
  readonly ownerOnTarget: (role: string) => string
}

/** Servers of different majors spell these differently though they mean the same. */
const spelledByServer = new Set(['VIEW', 'MATERIALIZED VIEW', 'RULE'])

export function compareByDump(options: DumpComparison): Compare {
  const { target, isSameMajor, ownerOnTarget } = options
  const there = new Map<string, DumpEntry[]>()
  for (const entry of target) {
    const key = keyOf(entry)
    there.set(key, [...(there.get(key) ?? []), entry])
  }
  return (entry) => {
    const found = there.get(keyOf(entry))
    if (found === undefined) return missing
    if (!found.some((other) => normal(other) === normal(entry))) {
      // Every database has it from the beginning, with grants that pg_dump shows for one before 15.
      if (entry.kind === 'ACL' && entry.tag === 'SCHEMA public' && addsTo(found, entry))
        return missing
      if (!isSameMajor && spelledByServer.has(entry.kind)) return notCompared
      const theirs = found.map((other) => normal(other)).join(' ')
      return { kind: 'differs', detail: differenceOf(normal(entry), theirs) }
    }
    if (!hasOwner(entry)) return equal
    const owner = ownerOnTarget(entry.owner)
    const other = found[0]?.owner ?? ''
    if (owner === other) return equal
    return { kind: 'differs', detail: `owner is ${other}, expected ${owner}` }
  }
}

/** Whether all that is granted there is granted by it too. */
function addsTo(found: readonly DumpEntry[], { definition }: DumpEntry): boolean {
  const lines = new Set(linesOf(definition).map((line) => line.trim()))
  return found.every((other) => linesOf(other.definition).every((line) => lines.has(line.trim())))
}

/** From the first difference on, so that long definitions stay readable. */
function differenceOf(source: string, target: string): string {
  let at = 0
  while (at < source.length && source[at] === target[at]) at += 1
  const from = Math.max(0, at - 20)
  const cut = (text: string): string => text.slice(from, at + 60)
  return `source has …${cut(source)}…, target has …${cut(target)}…`
}

function normal({ definition }: DumpEntry): string {
  return definition.replaceAll(/\s+/g, ' ').trim()
}

/** Repeated, they do no harm and change nothing: these have no name in the catalogue. */
const repeatable = new Set([
  'ACL',
  'COMMENT',
  'SECURITY LABEL',
  'SEQUENCE OWNED BY',
  'ROW SECURITY',
])

export async function compareByName(
  source: SqlClient,
  target: SqlClient,
  entries: readonly DumpEntry[],
): Promise<Compare> {
  const identities = await identitiesOf(source, entries)
  const existing = await existingIdentities(target)
  const populated = await populatedViews(target)
  const attached = await attachedPartitions(target)
  const columns = differentColumns(await readTables(source), await readTables(target))
  return (entry) => {
    if (entry.kind === 'MATERIALIZED VIEW DATA')
      return populated.has(`${entry.schema}.${entry.tag}`) ? equal : missing
    if (entry.kind === 'TABLE ATTACH' || entry.kind === 'INDEX ATTACH')
      return attached.has(`${entry.schema}.${entry.tag}`) ? equal : missing
    const identity = identities.get(entry.id)
    if (repeatable.has(entry.kind)) return { kind: 'repeat' }
    if (identity === undefined) return missing
    if (!existing.has(identity)) return missing
    if (entry.kind !== 'TABLE') return notCompared
    const detail = columns.get(`${entry.schema}.${entry.tag}`)
    return detail === undefined ? equal : { kind: 'differs', detail }
  }
}

function differentColumns(
  source: readonly Table[],
  target: readonly Table[],
): ReadonlyMap<string, string> {
  const there = new Map(target.map((table) => [`${table.schema}.${table.name}`, table]))
  return new Map(
    source.flatMap((table) => {
      const name = `${table.schema}.${table.name}`
      const other = there.get(name)
      if (other === undefined) return []
      const [ours, theirs] = [table, other].map(({ columns }) =>
        columns
          .map((column) => `${column.name} ${column.type} ${column.identity ?? ''}`)
          .join(', '),
      )
      return ours === theirs ? [] : [[name, differenceOf(ours ?? '', theirs ?? '')] as const]
    }),
  )
}
