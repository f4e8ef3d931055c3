/** What a server has prepared, and what messages on their way to it change about that. */
import type { Side } from '../../shared/side.ts'

/** A statement that a Parse of ours or of a client makes on a server. */
export interface PreparedTag {
  /** 0 for an unnamed one. */
  readonly id: number
  /** Name on the servers. */
  readonly serverName: Buffer
  /** Kinds of sessions that have seen it parsed without an error; null for an unnamed one. */
  readonly parsedFor: Set<string> | null
}

/** The columns that a statement gives, as texts to compare: names, types and type modifiers. */
export interface Columns {
  readonly side: Side
  readonly exact: string
  /** Types of users and extensions have other OIDs on the other side; here they are alike. */
  readonly portable: string
}

/** A statement as one Parse made it on one server. */
export interface PreparedHere {
  readonly statement: PreparedTag
  /** When it was parsed, to compare with when a client parsed it; 0 to have it parsed anew. */
  seq: number
  /** Null while they are not known. */
  columns: Columns | null
  /** Whether a Describe is under way, and a Flush behind it. */
  asked: 'no' | 'sent' | 'flushed'
  /** What it takes the place of, until its own Parse has succeeded. */
  replaced: PreparedHere | null
}

/** What a client's name for a statement stands for. */
export interface HeldStatement<Statement extends PreparedTag = PreparedTag> {
  readonly statement: Statement
  /** When the client parsed it. */
  readonly seq: number
  /** By which one on which server the client was last told the columns. */
  told: PreparedHere | null
}

/**
 * What a message does to statements.
 * made: a Parse was sent. again: a client uses a name that it uses already. closed: a client has
 * closed its name, or a Query its unnamed statement. discarded: a Query that may close
 * many. renamed: a Query or Execute of a text in which names were replaced. evicted: Pontoon closes the statement to make room. described: its columns are asked for.
 * outdated: a Bind or Describe that must fail, because the columns are not what the client knows.
 */
export type StatementChange =
  'made' | 'again' | 'closed' | 'discarded' | 'renamed' | 'evicted' | 'described' | 'outdated'

/** Goes with the owed reply of such a message, to take back what was assumed when it fails. */
export interface StatementTag {
  readonly change: StatementChange
  /** Null when there was none. */
  readonly statement: PreparedTag | null
  /** Name that the client gave it, '' for its unnamed one; null for what Pontoon injected. */
  readonly clientName: string | null
  /** The statement on the server that it makes, closes or describes. */
  readonly here?: PreparedHere
  /** What the client's name stood for before it was closed. */
  readonly held?: HeldStatement
  /** For each DEALLOCATE in a text: the client's name that it closes, or null. */
  readonly deallocates?: (string | null)[]
  /** Names of ours in a text, with what stood there. */
  readonly clientNames?: ReadonlyMap<string, string>
}
