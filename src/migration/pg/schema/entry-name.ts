/** How an object of a dump is called, for people and in another dump, and whether it has an owner. */
import { readable } from '../quote.ts'
import type { DumpEntry } from './archive.ts'

/** The tag has a name as it is, arguments and all, so only simple schemas are put before it. */
export function qualifiedName({ schema, tag }: Pick<DumpEntry, 'schema' | 'tag'>): string {
  if (schema === '') return tag
  const prefix = readable({ schema, name: 'x' }).slice(0, -1)
  return `${prefix}${tag}`
}

/** The same for the same object of two databases. */
export function keyOf({ kind, schema, tag }: DumpEntry): string {
  return [kind, schema, tag].join('\0')
}

/** Kinds whose `DROP …` names what ALTER … OWNER TO takes. */
const owned = new Set([
  'AGGREGATE',
  'COLLATION',
  'CONVERSION',
  'DOMAIN',
  'EVENT TRIGGER',
  'FOREIGN DATA WRAPPER',
  'FOREIGN TABLE',
  'FUNCTION',
  'MATERIALIZED VIEW',
  'OPERATOR',
  'OPERATOR CLASS',
  'OPERATOR FAMILY',
  'PROCEDURAL LANGUAGE',
  'PROCEDURE',
  'SCHEMA',
  'SEQUENCE',
  'SERVER',
  'STATISTICS',
  'TABLE',
  'TEXT SEARCH CONFIGURATION',
  'TEXT SEARCH DICTIONARY',
  'TYPE',
  'VIEW',
])

export function hasOwner({ kind, drop, owner }: DumpEntry): boolean {
  return owned.has(kind) && drop !== '' && owner !== ''
}
