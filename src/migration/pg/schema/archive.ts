/**
 * Reads the table of contents of a pg_dump archive in the custom format: every object with its
 * statements, owner and dependencies, apart from each other, which no reading of a dump as SQL
 * text could tell as surely. The layout is that of PostgreSQL's own pg_backup_archiver.c and
 * pg_backup_custom.c; it grows with the version of the archive, which stands in its header.
 */
import { PontoonError } from '../../../shared/errors.ts'

export type DumpSection = 'none' | 'pre-data' | 'data' | 'post-data'

export interface DumpEntry {
  readonly id: number
  /** Where the source's catalogue has it; zeros for what is part of something else. */
  readonly catalogOid: number
  readonly oid: number
  /** As pg_dump calls it, e.g. `TABLE`, `FK CONSTRAINT`, `ACL`. */
  readonly kind: string
  /** Empty for what is in no schema. */
  readonly schema: string
  /** Its name, for people: `orders`, `total(integer)`, `TABLE orders`. */
  readonly tag: string
  readonly section: DumpSection
  readonly definition: string
  /** `DROP TABLE public.orders;`, which has the object's name as SQL. */
  readonly drop: string
  readonly owner: string
  readonly tablespace: string
  readonly accessMethod: string
  /** Ids of entries that must be there before. */
  readonly dependencies: readonly number[]
}

export interface Dump {
  /** Of pg_dump, e.g. `15.18 (Debian …)`. */
  readonly dumpVersion: string
  readonly serverVersion: string
  /** In an order in which they can be restored. */
  readonly entries: readonly DumpEntry[]
}

const magic = 'PGDMP'
const formatCustom = 1
const oldest = version(1, 12)
/** Of pg_dump 17 and 18. */
const newest = version(1, 16)
const entriesMax = 5_000_000
const sections: readonly DumpSection[] = ['none', 'none', 'pre-data', 'data', 'post-data']

/** Throws MIGRATION_REFUSED for an archive of an unknown version, SERVER_PROTOCOL for no archive. */
export function parseArchive(bytes: Buffer): Dump {
  const reader = new ArchiveReader(bytes)
  if (reader.text(magic.length) !== magic) throw malformed('it does not begin as an archive')
  const is = version(reader.byte(), reader.byte())
  reader.byte()
  if (is < oldest || is > newest) throw unknownVersion(is)
  reader.intBytes = reader.byte()
  const offsetBytes = reader.byte()
  if (reader.byte() !== formatCustom) throw malformed('it is not in the custom format')
  // The kind of compression, then seven numbers of the time of the dump.
  if (is >= version(1, 15)) reader.byte()
  else reader.int()
  for (let field = 0; field < 7; field += 1) reader.int()
  reader.string()
  const serverVersion = reader.string() ?? ''
  const dumpVersion = reader.string() ?? ''
  const count = reader.int()
  if (count < 0 || count > entriesMax) throw malformed(`it counts ${count} entries`)
  const entries = Array.from({ length: count }, () => readEntry(reader, is, offsetBytes))
  return { dumpVersion, serverVersion, entries: withSections(entries) }
}

function readEntry(reader: ArchiveReader, is: number, offsetBytes: number): DumpEntry {
  const id = reader.int()
  reader.int()
  const catalogOid = Number(reader.string() ?? 0)
  const oid = Number(reader.string() ?? 0)
  const tag = reader.string() ?? ''
  const kind = reader.string() ?? ''
  const section = sections[reader.int()] ?? 'none'
  const definition = reader.string() ?? ''
  const drop = reader.string() ?? ''
  reader.string()
  const schema = reader.string() ?? ''
  const tablespace = reader.string() ?? ''
  const accessMethod = is >= version(1, 14) ? (reader.string() ?? '') : ''
  if (is >= version(1, 16)) reader.int()
  const owner = reader.string() ?? ''
  reader.string()
  const dependencies: number[] = []
  for (let text = reader.string(); text !== null; text = reader.string())
    dependencies.push(Number(text))
  reader.skip(1 + offsetBytes)
  return {
    id,
    catalogOid,
    oid,
    kind,
    schema,
    tag,
    section,
    definition,
    drop,
    owner,
    tablespace,
    accessMethod,
    dependencies,
  }
}

/** Grants, comments and labels belong to the section of what stands before them. */
function withSections(entries: readonly DumpEntry[]): readonly DumpEntry[] {
  let section: DumpSection = 'pre-data'
  return entries.map((entry) => {
    if (entry.section !== 'none') section = entry.section
    return { ...entry, section }
  })
}

/** Every read is checked against what is there: an archive cut short is an error, not garbage. */
class ArchiveReader {
  intBytes = 4
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  byte(): number {
    return this.#take(1)[0] ?? 0
  }

  /** A sign, then the amount from its lowest byte on. */
  int(): number {
    const sign = this.byte()
    if (this.intBytes < 1 || this.intBytes > 6) throw malformed('its numbers have an odd length')
    const amount = this.#take(this.intBytes).readUIntLE(0, this.intBytes)
    return sign === 0 ? amount : -amount
  }

  string(): string | null {
    const length = this.int()
    return length < 0 ? null : this.text(length)
  }

  text(length: number): string {
    return this.#take(length).toString('utf8')
  }

  skip(length: number): void {
    this.#take(length)
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw malformed('it ends too early')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}

function version(major: number, minor: number): number {
  return major * 256 + minor
}

function malformed(why: string): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', `the output of pg_dump cannot be read: ${why}`)
}

function unknownVersion(found: number): PontoonError {
  const name = `${Math.floor(found / 256)}.${found % 256}`
  return new PontoonError(
    'MIGRATION_REFUSED',
    `pg_dump writes archives of version ${name}, this Pontoon reads 1.12 to 1.16: ` +
      'name a pg_dump of PostgreSQL 10 to 18 with --pg-dump',
  )
}
