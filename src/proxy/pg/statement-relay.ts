/**
 * Parse, Bind, Describe and Close in transaction pooling: the client's statement names become
 * ours, and a statement that this server has not prepared yet is prepared on the way, its reply
 * swallowed (backend-relay.ts). Neighbours: statements.ts, frontend-relay.ts.
 */
import { Buffer } from 'node:buffer'
import type { PreparedHere, HeldStatement } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { sessionEffects } from '../../routing/session-effects.ts'
import { bytesOf, copyBytes, equalBytes } from '../../shared/bytes.ts'
import { backend, frontend, headerBytes } from '../../wire/pg/protocol.ts'
import { cstringEnd } from '../../wire/pg/read.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { message } from '../../wire/pg/write.ts'
import { leavesReadOnly, mayEndTransaction, readOnlyLeft } from './choose-side.ts'
import { Preparer } from './preparer.ts'
import type { Session } from './session.ts'
import { isNameOfOurs, SqlNames } from './sql-names.ts'
import {
  closeStatement,
  nobodysName,
  type Statement,
  type StatementUse,
  type UnnamedStatement,
} from './statements.ts'

const statementLetter = 0x53 // 'S'
const parseComplete = message(backend.parseComplete, Buffer.alloc(0))
const closeNobody = closeStatement(nobodysName)
const noName = Buffer.alloc(0)

export class StatementRelay {
  readonly #session: Session
  readonly #preparer: Preparer
  readonly sqlNames: SqlNames
  /** What the last Bind bound, for a Describe of its portal; null for an unnamed statement. */
  #bound: HeldStatement<Statement> | null = null
  #boundHere: PreparedHere | null = null

  constructor(session: Session) {
    this.#session = session
    this.#preparer = new Preparer(session)
    this.sqlNames = new SqlNames(session, this.#preparer)
  }

  owedFor(type: number): number {
    switch (type) {
      case frontend.parse:
        return owed.parse
      case frontend.bind:
        return owed.bind
      case frontend.describe:
        return owed.describe
      default:
        return owed.close
    }
  }

  /**
   * Relays the message at `offset`, of which `available` of `total` bytes are here.
   * Before anything is injected or replaced, the untouched bytes ahead of it are sent. `ask`: the
   * columns of its statement are asked for, and must be known.
   */
  relay(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    available: number,
    total: number,
    type: number,
  ): 'forward' | 'replaced' | 'wait' | 'ask' {
    const end = offset + available
    if (this.#isUncertain(bytes, offset, end, type)) return 'wait'
    switch (type) {
      case frontend.parse:
        return this.#parse(server, bytes, offset, end)
      case frontend.bind: {
        const portalEnd = cstringEnd(bytes, offset + headerBytes, end, 'CLIENT_PROTOCOL')
        return this.#named(server, bytes, offset, end, total, portalEnd + 1, owed.bind)
      }
      case frontend.describe:
        if (bytes[offset + headerBytes] !== statementLetter) return this.#describePortal(server)
        return this.#named(
          server,
          bytes,
          offset,
          end,
          total,
          offset + headerBytes + 1,
          owed.describe,
        )
      default:
        if (bytes[offset + headerBytes] !== statementLetter) {
          server.replies.push(owed.close)
          return 'forward'
        }
        return this.#close(server, bytes, offset, end)
    }
  }

  /**
   * A Parse at the start of a request is answered without a server when the same text has parsed
   * for a session like this one. A driver that blocks on its Parse (libpq's PQprepare does) could
   * otherwise wait for a server that its own other connections hold.
   */
  answerParse(bytes: Buffer, offset: number, end: number): boolean {
    const session = this.#session
    const nameStart = offset + headerBytes
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    if (nameEnd === nameStart) return false
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const known = session.context.statements.find(bytes.subarray(nameEnd + 1, end), session.reading)
    if (known === null || session.statements.has(name)) return false
    if (!known.parsedFor.has(session.parseKey) || session.statements.sqlNames.has(name))
      return false
    const tail = Buffer.from(bytes.subarray(nameEnd + 1, end))
    session.statements.set(
      name,
      session.context.statements.use(tail, known.sql, session.reading, known.effects),
    )
    session.client.sendOwned(parseComplete)
    return true
  }

  /** Whether it is not known yet what the statement name in a message stands for. */
  #isUncertain(bytes: Buffer, offset: number, end: number, type: number): boolean {
    const { statements, context, reading } = this.#session
    if (!statements.hasAwaited) return false
    let start = offset + headerBytes
    if (type === frontend.bind) start = cstringEnd(bytes, start, end, 'CLIENT_PROTOCOL') + 1
    else if (type !== frontend.parse) {
      if (bytes[start] !== statementLetter) return false
      start += 1
    }
    const nameEnd = cstringEnd(bytes, start, end, 'CLIENT_PROTOCOL')
    // A Parse of the unnamed statement asks nothing of the one before.
    if (type === frontend.parse && nameEnd === start) return false
    if (statements.isUncertain(bytes.toString('latin1', start, nameEnd))) return true
    if (type !== frontend.parse) return false
    // The same text may be under way under another name.
    const same = context.statements.find(bytes.subarray(nameEnd + 1, end), reading)
    return same !== null && statements.isFromBeforeSync(same)
  }

  /** Taken to be of the portal that was bound last. */
  #describePortal(server: PgServer): 'forward' {
    const [held, here] = [this.#bound, this.#boundHere]
    const isNews = held !== null && here !== null && (held.told !== here || here.columns === null)
    server.replies.push(owed.describe, isNews ? this.#preparer.toTell(held, here) : null)
    return 'forward'
  }

  #parse(server: PgServer, bytes: Buffer, offset: number, end: number): 'forward' | 'replaced' {
    const session = this.#session
    const nameStart = offset + headerBytes
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    session.totals.clientParses += 1
    if (nameEnd === nameStart) return this.#parseUnnamed(server, bytes, offset, end)
    const sqlEnd = cstringEnd(bytes, nameEnd + 1, end, 'CLIENT_PROTOCOL')
    const effects = sessionEffects(bytes, nameEnd + 1, sqlEnd)
    const name = bytes.toString('latin1', nameStart, nameEnd)
    if (session.statements.sqlNames.has(name)) return this.#parsePlain(server, name, effects)
    const sql = bytes.toString('utf8', nameEnd + 1, sqlEnd)
    session.frontend.forwardTo(bytes, offset)
    session.sequences.forgetOthers(server, effects)
    const known = session.statements.get(name)
    if (known !== undefined) {
      // The client reuses a name without Close: let the server refuse it, as it would directly.
      const { statement } = known
      this.#preparer.present(server, known)
      const here = this.#preparer.newHere(statement)
      this.#preparer.push(server, owed.parse, {
        change: 'again',
        statement,
        clientName: name,
        here,
      })
      server.transport.sendOwned(statement.parse)
      return 'replaced'
    }
    const statement = session.context.statements.use(
      Buffer.from(bytes.subarray(nameEnd + 1, end)),
      sql,
      session.reading,
      effects,
    )
    session.statements.set(name, statement)
    this.#preparer.prepare(server, statement, owed.parse, name)
    return 'replaced'
  }

  /** Mostly refused, since SQL's PREPARE has the name; else it stands there under its own. */
  #parsePlain(server: PgServer, name: string, effects: number): 'forward' {
    const { statements } = this.#session
    this.#session.pinReason = 'long-statement'
    statements.longNames.add(name)
    statements.noteLongEffects(effects)
    server.replies.push(owed.parse)
    return 'forward'
  }

  #parseUnnamed(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    end: number,
  ): 'forward' | 'replaced' {
    const { statements } = this.#session
    const { unnamed: last } = statements
    // Most drivers send the same few texts over and over.
    const isAgain =
      last !== null && last.effects === 0 && equalBytes(bytes, offset, end, last.parse)
    let unnamed = isAgain
      ? new Unnamed(last.parse, last.effects, last)
      : this.#newUnnamed(bytes, offset, end, last)
    if (unnamed.effects !== 0) this.#session.sequences.forgetOthers(server, unnamed.effects)
    const rewritten =
      unnamed.effects === 0 ? null : this.sqlNames.rewrite(unnamed.sql, unnamed.effects)
    if (rewritten !== null) {
      this.#session.frontend.forwardTo(bytes, offset)
      unnamed = unnamed.rewritten(rewritten.sql, rewritten.uses)
      this.sqlNames.prepareUsed(server, unnamed.uses)
    }
    statements.unnamed = unnamed
    server.unnamedOwner = unnamed
    if (statements.longNames.size > 0) statements.longNames.delete('')
    const tag = { change: 'made', statement: unnamed, clientName: '' } as const
    this.#preparer.pushParse(server, owed.parse, tag)
    if (rewritten === null) return 'forward'
    server.transport.sendOwned(unnamed.parse)
    return 'replaced'
  }

  #newUnnamed(bytes: Buffer, offset: number, end: number, last: UnnamedStatement | null): Unnamed {
    const sqlStart = offset + headerBytes + 1
    const sqlEnd = cstringEnd(bytes, sqlStart, end, 'CLIENT_PROTOCOL')
    return new Unnamed(bytesOf(bytes, offset, end), sessionEffects(bytes, sqlStart, sqlEnd), last)
  }

  /** Bind, or Describe of a statement: its name starts at `nameStart`. */
  #named(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    end: number,
    total: number,
    nameStart: number,
    kind: number,
  ): 'forward' | 'replaced' | 'ask' {
    const session = this.#session
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    if (nameEnd === nameStart) {
      this.#useUnnamed(server, bytes, offset, kind)
      return 'forward'
    }
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const held = session.statements.get(name)
    if (held === undefined) {
      if (kind === owed.bind) this.#bind(null, null)
      this.#useLong(kind)
      // Made by SQL PREPARE (then the session is pinned), or unknown.
      server.replies.push(kind)
      if (!isNameOfOurs(name)) return 'forward'
      this.#session.frontend.forwardTo(bytes, offset)
      server.transport.sendOwned(
        renamed(bytes, offset, nameStart, nameEnd, end, total, nobodysName),
      )
      return 'replaced'
    }
    const { statement } = held
    if (kind === owed.bind) this.#guardReadOnly(statement.sql)
    session.frontend.forwardTo(bytes, offset)
    if (kind === owed.bind) session.sequences.forgetOthers(server, statement.effects)
    const readiness = this.#preparer.ready(server, held)
    if (readiness === 'ask') return 'ask'
    if (readiness === 'outdated') {
      const change = { change: 'outdated', statement, clientName: null } as const
      this.#preparer.push(server, kind, change)
      server.transport.sendOwned(
        renamed(bytes, offset, nameStart, nameEnd, end, total, nobodysName),
      )
      return 'replaced'
    }
    const here = server.prepared.get(statement.id) ?? null
    if (kind === owed.bind) {
      if (statement.effects !== 0) session.noteEffects(statement.effects, statement.sql)
      this.#bind(held, here)
      server.replies.push(kind)
    } else server.replies.push(kind, here === null ? null : this.#preparer.toTell(held, here))
    server.transport.sendOwned(
      renamed(bytes, offset, nameStart, nameEnd, end, total, statement.serverName),
    )
    return 'replaced'
  }

  #bind(held: HeldStatement<Statement> | null, here: PreparedHere | null): void {
    this.#session.totals.binds += 1
    this.#bound = held
    this.#boundHere = here
  }

  /** Perhaps one that was too long to be read. */
  #useLong(kind: number): void {
    const session = this.#session
    const { longNames, longEffects } = session.statements
    if (kind === owed.bind && longNames.size > 0) session.noteEffects(longEffects, '')
  }

  #useUnnamed(server: PgServer, bytes: Buffer, offset: number, kind: number): void {
    const session = this.#session
    const { unnamed } = session.statements
    if (unnamed !== null && unnamed.effects !== 0 && kind === owed.bind)
      session.sequences.forgetOthers(server, unnamed.effects)
    if (server.unnamedOwner !== unnamed) {
      session.frontend.forwardTo(bytes, offset)
      this.#preparer.unnamed(server, unnamed)
    }
    if (kind === owed.bind) {
      this.#bind(null, null)
      if (unnamed === null) this.#useLong(kind)
      else {
        this.#guardReadOnly(unnamed.sql)
        if (unnamed.effects !== 0) session.noteEffects(unnamed.effects, unnamed.sql)
        if (unnamed.uses.length > 0) {
          session.frontend.forwardTo(bytes, offset)
          this.sqlNames.bound(server, unnamed)
        }
      }
    }
    server.replies.push(kind)
  }

  #close(server: PgServer, bytes: Buffer, offset: number, end: number): 'forward' | 'replaced' {
    const session = this.#session
    const nameStart = offset + headerBytes + 1
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    if (nameEnd === nameStart) {
      const { unnamed } = session.statements
      session.statements.unnamed = null
      session.statements.longNames.delete('')
      server.unnamedOwner = null
      const tag = { change: 'closed', statement: unnamed, clientName: '' } as const
      this.#preparer.push(server, owed.close, tag)
      return 'forward'
    }
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const held = session.statements.get(name)
    if (held === undefined && !isNameOfOurs(name)) {
      session.statements.longNames.delete(name)
      server.replies.push(owed.close)
      return 'forward'
    }
    // The statement stays for others; the client gets its CloseComplete all the same.
    this.#session.frontend.forwardTo(bytes, offset)
    if (held === undefined) server.replies.push(owed.close)
    else {
      session.statements.close(name)
      const { statement } = held
      this.#preparer.push(server, owed.close, {
        change: 'closed',
        statement,
        clientName: name,
        held,
      })
    }
    server.transport.sendOwned(closeNobody)
    return 'replaced'
  }

  /** On the side that is not primary nothing but reads may follow the end of a transaction. */
  #guardReadOnly(sql: string): void {
    const session = this.#session
    if (session.onPrimary || session.identity.classifier.verdict(sql) === 'read') return
    if (session.mayHaveEnded || leavesReadOnly(sql)) throw readOnlyLeft()
    session.mayHaveEnded = mayEndTransaction(sql)
  }
}

class Unnamed implements UnnamedStatement {
  readonly id = 0
  readonly serverName = noName
  readonly parsedFor = null
  readonly parse: Buffer
  readonly effects: number
  readonly uses: readonly StatementUse[]
  fate: UnnamedStatement['fate'] = 'pending'
  awaitedCount = 0
  awaitedSyncs = 0
  previous: UnnamedStatement | null

  constructor(
    parse: Buffer,
    effects: number,
    previous: UnnamedStatement | null,
    uses: readonly StatementUse[] = [],
  ) {
    this.parse = parse
    this.effects = effects
    this.previous = previous
    this.uses = uses
  }

  get sql(): string {
    return this.parse.toString('utf8', headerBytes + 1, this.#sqlEnd)
  }

  get #sqlEnd(): number {
    return cstringEnd(this.parse, headerBytes + 1, this.parse.length, 'CLIENT_PROTOCOL')
  }

  /** The same with another text, in which names of ours stand for the client's. */
  rewritten(sql: Buffer, uses: readonly StatementUse[]): Unnamed {
    const body = Buffer.concat([Buffer.alloc(1), sql, this.parse.subarray(this.#sqlEnd)])
    return new Unnamed(message(frontend.parse, body), this.effects, this.previous, uses)
  }
}

/** The part of the message that is here, with the name at [nameStart, nameEnd) replaced. */
function renamed(
  bytes: Buffer,
  offset: number,
  nameStart: number,
  nameEnd: number,
  end: number,
  total: number,
  name: Buffer,
): Buffer {
  const grown = name.length - (nameEnd - nameStart)
  const changed = Buffer.allocUnsafe(end - offset + grown)
  copyBytes(bytes, offset, nameStart, changed, 0)
  changed.writeInt32BE(total - 1 + grown, 1)
  copyBytes(name, 0, name.length, changed, nameStart - offset)
  copyBytes(bytes, nameEnd, end, changed, nameStart - offset + name.length)
  return changed
}
