/**
 * Protocol-level prepared statements in transaction pooling. A client's name for a statement
 * means nothing on a shared server, so each distinct statement (text, parameter types and how they
 * are read) gets one name of ours, the same on every server, and is prepared where it is missing.
 */
import type { HeldStatement, PreparedHere, PreparedTag } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { frontend, headerBytes } from '../../wire/pg/protocol.ts'

/** A named statement, shared by all clients of a service that prepared the same. */
export interface Statement extends PreparedTag {
  readonly id: number
  /** Name on the servers, without the terminator. */
  readonly serverName: Buffer
  /** The Parse message that makes it on a server. */
  readonly parse: Buffer
  readonly sql: string
  /** How its literals and names were read (settings.ts); who reads otherwise has another one. */
  readonly reading: string
  /** Bits of routing/session-effects.ts. */
  readonly effects: number
  /** Sessions (Session.parseKey) whose like has seen it parsed without an error. */
  readonly parsedFor: Set<string>
  /** Clients whose name it stands behind. */
  users: number
  /** A client was told its columns: whoever prepares it asks for them too. */
  isTold: boolean
}

/** What an unnamed Parse made; never shared, told apart by identity. */
export interface UnnamedStatement extends PreparedTag {
  readonly id: 0
  /** void: an earlier error kept its Parse from being read. failed: the server refused it. */
  fate: 'pending' | 'made' | 'void' | 'failed'
  /** The one that it replaces, which stays if its Parse is void; null once that is known. */
  previous: UnnamedStatement | null
  /** Changes of it that are not confirmed, and how many Syncs came before the last of them. */
  awaitedCount: number
  awaitedSyncs: number
  /** The Parse message as the client sent it. */
  readonly parse: Buffer
  readonly sql: string
  readonly effects: number
  /** The client's statements that its text names, in terms of which it was rewritten. */
  readonly uses: readonly StatementUse[]
}

/** A statement of the client's that a text of SQL names (EXECUTE, DEALLOCATE, PREPARE). */
export interface StatementUse {
  readonly use: 'execute' | 'deallocate' | 'prepare'
  readonly name: string
  /** Null for a name that is not one of its protocol-level statements. */
  readonly held: HeldStatement<Statement> | null
}

/** Statements kept although no client uses them at present. */
const unusedMax = 1_000

/** A name no statement ever has: closing it is no error and gives CloseComplete in order. */
export const nobodysName = Buffer.from('pontoon_0')

/** Names of empty statements that DEALLOCATE closes in place of a shared one. */
export const gonePrefix = 'pontoon_gone_'

export class StatementCatalogue {
  readonly #byText = new Map<string, Statement>()
  #nextId = 1
  #lastSeq = 0
  #unused = 0

  get size(): number {
    return this.#byText.size
  }

  /** The number of the last Parse. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  /** Numbers every Parse, so that it can be told which of two came later. */
  nextSeq(): number {
    this.#lastSeq += 1
    return this.#lastSeq
  }

  /** A statement that is known already, or null. */
  find(tail: Buffer, reading: string): Statement | null {
    return this.#byText.get(keyOf(tail, reading)) ?? null
  }

  /** `tail` is everything after the name in the Parse: text, NUL, parameter types. */
  use(tail: Buffer, sql: string, reading: string, effects: number): Statement {
    const key = keyOf(tail, reading)
    let statement = this.#byText.get(key)
    if (statement === undefined) {
      const id = this.#nextId
      this.#nextId += 1
      const serverName = Buffer.from(`pontoon_${id}`)
      statement = {
        id,
        serverName,
        parse: parseMessage(serverName, tail),
        sql,
        reading,
        effects,
        parsedFor: new Set(),
        users: 0,
        isTold: false,
      }
      this.#byText.set(key, statement)
    } else if (statement.users === 0) {
      this.#unused -= 1
      // Back to the young end, so that the sweep drops the longest unused first.
      this.#byText.delete(key)
      this.#byText.set(key, statement)
    }
    statement.users += 1
    return statement
  }

  /** For a client whose Close of the statement did not happen. */
  useAgain({ parse, serverName, sql, reading, effects }: Statement): Statement {
    return this.use(parse.subarray(headerBytes + serverName.length + 1), sql, reading, effects)
  }

  leave(statement: Statement): void {
    statement.users -= 1
    if (statement.users > 0 || !this.#isListed(statement)) return
    this.#unused += 1
    if (this.#unused > unusedMax) this.#dropUnused()
  }

  #isListed(statement: Statement): boolean {
    const { parse, serverName, reading } = statement
    const tail = parse.subarray(headerBytes + serverName.length + 1)
    return this.#byText.get(keyOf(tail, reading)) === statement
  }

  #dropUnused(): void {
    for (const [key, statement] of this.#byText) {
      if (this.#unused <= unusedMax / 2) return
      if (statement.users > 0) continue
      this.#byText.delete(key)
      this.#unused -= 1
    }
  }
}

function keyOf(tail: Buffer, reading: string): string {
  const text = tail.toString('latin1')
  return reading === '' ? text : `${reading}\n${text}`
}

function parseMessage(name: Buffer, tail: Buffer): Buffer {
  const message = Buffer.allocUnsafe(5 + name.length + 1 + tail.length)
  message[0] = frontend.parse
  message.writeInt32BE(message.length - 1, 1)
  name.copy(message, 5)
  message[5 + name.length] = 0
  tail.copy(message, 6 + name.length)
  return message
}

/** Close of a statement by name. */
export function closeStatement(name: Buffer): Buffer {
  const message = Buffer.allocUnsafe(5 + 1 + name.length + 1)
  message[0] = frontend.close
  message.writeInt32BE(message.length - 1, 1)
  message[5] = 0x53 // 'S'
  name.copy(message, 6)
  message[message.length - 1] = 0
  return message
}

/** Marks a statement as the most recently used of a server. */
export function touch(server: PgServer, here: PreparedHere): void {
  const { id } = here.statement
  // Moving an entry costs two hash operations: not for the one that is youngest anyway.
  if (server.youngestPrepared === id) return
  server.youngestPrepared = id
  server.prepared.delete(id)
  server.prepared.set(id, here)
}

/** Describe of a statement by name. */
export function describeStatement(name: Buffer): Buffer {
  const message = closeStatement(name)
  message[0] = frontend.describe
  return message
}
