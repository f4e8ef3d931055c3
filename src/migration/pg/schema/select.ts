/**
 * Which objects of the source's dump go to the target, and why the others do not: what the target
 * cannot have, what belongs to this server only, what Pontoon makes itself.
 */
import { qualifiedName } from './entry-name.ts'
import type { DumpEntry, DumpSection } from './archive.ts'
import type { ObjectReport } from './report.ts'
import type { TargetFacts } from './target-facts.ts'

export interface Selection {
  readonly kept: readonly DumpEntry[]
  readonly leftOut: readonly ObjectReport[]
}

export interface SelectOptions {
  readonly section: DumpSection
  /** `schema.table`. */
  readonly exclude: ReadonlySet<string>
  readonly target: TargetFacts
  /** Functions in C or internal ones, by their oid on the source. */
  readonly nativeFunctions: ReadonlySet<number>
}

/** Says nothing of it: no object of the user's, or one that Pontoon or the copy makes. */
const silent = Symbol('silent')
type Reason = string | typeof silent | null

/** Settings of the session of a restore, which Pontoon makes itself; the database itself. */
const ofTheDump = new Set([
  'ENCODING',
  'STDSTRINGS',
  'SEARCHPATH',
  'DATABASE',
  'DATABASE PROPERTIES',
])
/** Follow what they describe. */
const describing = new Set(['ACL', 'COMMENT', 'SECURITY LABEL', 'DEFAULT', 'SEQUENCE OWNED BY'])

/** Also what is kept of the other section counts for dependencies. */
export function selectEntries(entries: readonly DumpEntry[], options: SelectOptions): Selection {
  const kept: DumpEntry[] = []
  const leftOut: ObjectReport[] = []
  const gone = new Map<number, string>()
  for (const entry of entries) {
    const name = `${entry.kind.toLowerCase()} ${qualifiedName(entry)}`
    const own = reasonAgainst(entry, options)
    const needs = entry.dependencies.flatMap((id) => gone.get(id) ?? [])[0]
    const reason = own ?? (needs === undefined ? null : `needs ${needs}`)
    if (reason !== null) {
      if (own !== silent) gone.set(entry.id, describing.has(entry.kind) ? (needs ?? name) : name)
      const isTold = typeof reason === 'string' && !(own === null && describing.has(entry.kind))
      if (isTold && entry.section === options.section) {
        const { kind } = entry
        leftOut.push({ kind, name: qualifiedName(entry), state: 'left-out', reason })
      }
    } else if (entry.section === options.section) kept.push(entry)
  }
  return { kept, leftOut }
}

function reasonAgainst(entry: DumpEntry, options: SelectOptions): Reason {
  const { kind, tag } = entry
  if (ofTheDump.has(kind) || kind.startsWith('BLOB') || entry.section === 'data') return silent
  if (describing.has(kind) && tag.startsWith('DATABASE ')) return silent
  if (kind.startsWith('PUBLICATION')) {
    if (kind !== 'PUBLICATION' || tag.startsWith('pontoon_')) return silent
    return 'publications send what this server writes; make it again where it is needed'
  }
  if (kind.startsWith('SUBSCRIPTION')) return silent
  if (options.exclude.has(`${entry.schema}.${tag}`) && isRelation(kind))
    return 'excluded by the configuration'
  return reasonOfTarget(entry, options)
}

function reasonOfTarget(entry: DumpEntry, { target, nativeFunctions }: SelectOptions): Reason {
  const { kind, tag, catalogOid, oid } = entry
  if (kind === 'EXTENSION') return reasonOfExtension(tag, target)
  if (kind === 'COMMENT' && tag.startsWith('EXTENSION ') && !target.isSuperuser) return silent
  if (target.isSuperuser) return null
  if (kind === 'EVENT TRIGGER')
    return 'event triggers need a superuser, which the restoring role on the target is not'
  if (kind === 'PROCEDURAL LANGUAGE')
    return 'languages outside of an extension need a superuser on the target'
  if (catalogOid === procedures && nativeFunctions.has(oid))
    return 'functions in C need a superuser on the target'
  if (kind === 'FOREIGN DATA WRAPPER')
    return 'foreign-data wrappers outside of an extension need a superuser on the target'
  return null
}

/** Oid of pg_proc. */
const procedures = 1255

function reasonOfExtension(name: string, target: TargetFacts): Reason {
  if (!target.extensions.has(name))
    return `the target does not offer this extension: install it there, or do without`
  if (target.extensionsAllowed !== null && !target.extensionsAllowed.has(name))
    return `rds.extensions does not list this extension`
  return null
}

function isRelation(kind: string): boolean {
  return kind === 'TABLE' || kind === 'FOREIGN TABLE' || kind === 'MATERIALIZED VIEW'
}
