/**
 * Says of a text of SQL whether it is surely a read. Session code asks here for each query that a
 * route may send to the other side; anything not surely a read goes to the primary.
 *
 * The way of a text: its first word, its pattern (sql-pattern.ts), the cache (verdict-cache.ts),
 * and only then the grammar (grammar.ts) and the walk of its tree (read-tree.ts). docs/routing.md
 * explains the rules.
 *
 * The text is taken as PostgreSQL would read it with standard_conforming_strings on; texts that
 * could be read in another way are no reads. The caller decodes them: with a client encoding that
 * is not a superset of ASCII (SJIS, BIG5, GBK, GB18030, UHC, JOHAB) it must not ask.
 */
import { isSameCatalog } from './catalog.ts'
import type { Catalog } from './catalog.ts'
import { parseStatements } from './grammar.ts'
import { isRead } from './read-tree.ts'
import { sqlPattern } from './sql-pattern.ts'
import { isReadOnlyBegin } from './transaction-text.ts'
import { VerdictCache } from './verdict-cache.ts'

export { isTransactionEnd } from './transaction-text.ts'

/**
 * `read`: every statement is a read. `begin-read-only`: begins a READ ONLY transaction and does
 * nothing else. `other`: all the rest.
 */
export type Verdict = 'read' | 'begin-read-only' | 'other'

const limits = {
  textLengthMax: 64 * 1024,
  /** Of a pattern. A parse of this length takes some ten milliseconds at worst. */
  parsedLengthMax: 16 * 1024,
  cacheEntriesMax: 10_000,
  cacheBytesMax: 16 * 1024 * 1024,
  /**
   * Parsing is paid for in characters. Each question adds to the account, so that an application
   * which never sends a text twice costs little more than one whose texts are all known.
   */
  parseCreditMax: 256 * 1024,
  parseCreditPerText: 24,
} as const

export interface ClassifierOptions {
  readonly cacheEntriesMax?: number
  readonly catalog?: Catalog
}

export class Classifier {
  readonly #cache: VerdictCache<Verdict>
  #catalog: Catalog | undefined
  #parseCredit: number = limits.parseCreditMax

  constructor(options: ClassifierOptions = {}) {
    this.#cache = new VerdictCache({
      entriesMax: options.cacheEntriesMax ?? limits.cacheEntriesMax,
      bytesMax: limits.cacheBytesMax,
    })
    this.#catalog = options.catalog
  }

  /** Without a catalog every verdict is `other`. */
  useCatalog(catalog: Catalog | undefined): void {
    const before = this.#catalog
    this.#catalog = catalog
    // Catalogs are fetched again and again; most often nothing has changed.
    const isSame = before !== undefined && catalog !== undefined && isSameCatalog(before, catalog)
    if (!isSame) this.#cache.clear()
  }

  verdict(sql: string): Verdict {
    const catalog = this.#catalog
    if (catalog === undefined || !mayBeRead(sql) || sql.length > limits.textLengthMax)
      return 'other'
    if (this.#parseCredit < limits.parseCreditMax) this.#parseCredit += limits.parseCreditPerText
    const key = sqlPattern(sql) ?? sql
    const known = this.#cache.get(key)
    if (known !== undefined) return known
    if (key.length > this.#parseCredit) return 'other'
    const verdict = key.length > limits.parsedLengthMax ? 'other' : this.#judge(key, catalog)
    this.#cache.set(key, verdict)
    return verdict
  }

  #judge(sql: string, catalog: Catalog): Verdict {
    // A NUL would end the text for the parser. A backslash before a quote ends a string or not,
    // as standard_conforming_strings has it.
    if (sql.includes('\0') || sql.includes("\\'")) return 'other'
    this.#parseCredit -= sql.length
    const statements = parseStatements(sql)
    if (statements === null || statements.length === 0) return 'other'
    if (statements.every((statement) => isRead(statement, catalog))) return 'read'
    return statements.length === 1 && isReadOnlyBegin(statements[0]) ? 'begin-read-only' : 'other'
  }
}

/** A look at the first word. Texts that begin with a comment or a parenthesis get through. */
function mayBeRead(sql: string): boolean {
  let at = 0
  while (isBlank(sql.charCodeAt(at))) at++
  const first = sql.charCodeAt(at) | 0x20
  const second = sql.charCodeAt(at + 1) | 0x20
  const third = sql.charCodeAt(at + 2) | 0x20
  switch (first) {
    case 0x73: // SELECT, START; neither SET, SHOW nor SAVEPOINT
      return (second === 0x65 && third === 0x6c) || second === 0x74
    case 0x77: // WITH
    case 0x76: // VALUES
    case 0x74: // TABLE
    case 0x65: // EXPLAIN
    case 0x28: // (
    case 0x2d: // --
    case 0x2f: // a block comment
    case 0x3b | 0x20: // ;
      return true
    case 0x62: // BEGIN
      return second === 0x65
    case 0x63: // COPY
      return second === 0x6f && third === 0x70
    default:
      return false
  }
}

function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}
