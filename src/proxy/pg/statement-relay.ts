/**
 * Parse, Bind, Describe and Close in transaction pooling: the client's statement names become
 * ours, and a statement that this server has not prepared yet is prepared on the way, its reply
 * swallowed (backend-relay.ts). Neighbours: statements.ts, frontend-relay.ts.
 */
import { Buffer } from 'node:buffer'
import type { PgServer, StatementTag } from '../../net/pg/server.ts'
import { sessionEffects } from '../../routing/session-effects.ts'
import { bytesOf, copyBytes, equalBytes } from '../../shared/bytes.ts'
import { PontoonError } from '../../shared/errors.ts'
import { backend, frontend, headerBytes } from '../../wire/pg/protocol.ts'
import { cstringEnd } from '../../wire/pg/read.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { message } from '../../wire/pg/write.ts'
import { leavesReadOnly, mayEndTransaction, readOnlyLeft } from './choose-side.ts'
import type { Session } from './session.ts'
import {
  closeStatement,
  nobodysName,
  touch,
  type Statement,
  type UnnamedStatement,
} from './statements.ts'

/** Statements prepared on one server; the least recently used one is closed beyond that. */
export const preparedPerServerMax = 500

const statementLetter = 0x53 // 'S'
const parseComplete = message(backend.parseComplete, Buffer.alloc(0))
const closeNobody = closeStatement(nobodysName)
const noName = Buffer.alloc(0)
const closeUnnamed = closeStatement(noName)

export class StatementRelay {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
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
   * Before anything is injected or replaced, the untouched bytes ahead of it are sent.
   */
  relay(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    available: number,
    total: number,
    type: number,
  ): 'forward' | 'replaced' | 'wait' {
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
        if (bytes[offset + headerBytes] !== statementLetter)
          return this.#plain(server, owed.describe)
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
        if (bytes[offset + headerBytes] !== statementLetter) return this.#plain(server, owed.close)
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
    if (!known.parsedFor.has(session.parseKey)) return false
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

  #plain(server: PgServer, kind: number): 'forward' {
    server.replies.push(kind)
    return 'forward'
  }

  #parse(server: PgServer, bytes: Buffer, offset: number, end: number): 'forward' | 'replaced' {
    const session = this.#session
    const nameStart = offset + headerBytes
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    session.totals.clientParses += 1
    if (nameEnd === nameStart) {
      this.#parseUnnamed(server, bytes, offset, end)
      return 'forward'
    }
    const sqlEnd = cstringEnd(bytes, nameEnd + 1, end, 'CLIENT_PROTOCOL')
    const effects = sessionEffects(bytes, nameEnd + 1, sqlEnd)
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const sql = bytes.toString('utf8', nameEnd + 1, sqlEnd)
    this.#session.frontend.forwardTo(bytes, offset)
    const known = session.statements.get(name)
    if (known !== undefined) {
      // The client reuses a name without Close: let the server refuse it, as it would directly.
      this.#ensure(server, known)
      this.#push(server, owed.parse, { change: 'again', statement: known, clientName: name })
      server.transport.sendOwned(known.parse)
      return 'replaced'
    }
    const statement = session.context.statements.use(
      Buffer.from(bytes.subarray(nameEnd + 1, end)),
      sql,
      session.reading,
      effects,
    )
    session.statements.set(name, statement)
    if (server.prepared.has(statement.id)) {
      touch(server, statement)
      // Already there: a Close of nobody's name keeps the place of the reply in order.
      this.#push(server, owed.parseAsClose, { change: 'found', statement, clientName: name })
      server.transport.sendOwned(closeNobody)
      return 'replaced'
    }
    this.#prepare(server, statement, owed.parse, name)
    return 'replaced'
  }

  #parseUnnamed(server: PgServer, bytes: Buffer, offset: number, end: number): void {
    const { statements } = this.#session
    const { unnamed: last } = statements
    // Most drivers send the same few texts over and over.
    const isAgain = last !== null && equalBytes(bytes, offset, end, last.parse)
    const unnamed = isAgain
      ? new Unnamed(last.parse, last.effects, last)
      : this.#newUnnamed(bytes, offset, end, last)
    statements.unnamed = unnamed
    server.unnamedOwner = unnamed
    this.#pushParse(server, owed.parse, { change: 'made', statement: unnamed, clientName: '' })
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
  ): 'forward' | 'replaced' {
    const session = this.#session
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    if (kind === owed.bind) session.totals.binds += 1
    if (nameEnd === nameStart) {
      this.#ensureUnnamed(server, bytes, offset)
      const unnamed = session.statements.unnamed
      if (kind === owed.bind && unnamed !== null) this.#guardReadOnly(unnamed.sql)
      if (kind === owed.bind && unnamed !== null && unnamed.effects !== 0)
        session.noteEffects(unnamed.effects, unnamed.sql)
      server.replies.push(kind)
      return 'forward'
    }
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const statement = session.statements.get(name)
    if (statement === undefined) {
      // Made by SQL PREPARE (then the session is pinned), or unknown.
      server.replies.push(kind)
      if (!isNameOfOurs(name)) return 'forward'
      this.#session.frontend.forwardTo(bytes, offset)
      server.transport.sendOwned(
        renamed(bytes, offset, nameStart, nameEnd, end, total, nobodysName),
      )
      return 'replaced'
    }
    if (kind === owed.bind) this.#guardReadOnly(statement.sql)
    if (kind === owed.bind && statement.effects !== 0)
      session.noteEffects(statement.effects, statement.sql)
    session.frontend.forwardTo(bytes, offset)
    this.#ensure(server, statement)
    server.replies.push(kind)
    server.transport.sendOwned(
      renamed(bytes, offset, nameStart, nameEnd, end, total, statement.serverName),
    )
    return 'replaced'
  }

  #close(server: PgServer, bytes: Buffer, offset: number, end: number): 'forward' | 'replaced' {
    const session = this.#session
    const nameStart = offset + headerBytes + 1
    const nameEnd = cstringEnd(bytes, nameStart, end, 'CLIENT_PROTOCOL')
    if (nameEnd === nameStart) {
      const { unnamed } = session.statements
      session.statements.unnamed = null
      server.unnamedOwner = null
      this.#push(server, owed.close, { change: 'closed', statement: unnamed, clientName: '' })
      return 'forward'
    }
    const name = bytes.toString('latin1', nameStart, nameEnd)
    const statement = session.statements.get(name)
    if (statement === undefined && !isNameOfOurs(name)) {
      server.replies.push(owed.close)
      return 'forward'
    }
    // The statement stays for others; the client gets its CloseComplete all the same.
    this.#session.frontend.forwardTo(bytes, offset)
    if (statement === undefined) server.replies.push(owed.close)
    else {
      session.statements.close(name)
      this.#push(server, owed.close, { change: 'closed', statement, clientName: name })
    }
    server.transport.sendOwned(closeNobody)
    return 'replaced'
  }

  #ensure(server: PgServer, statement: Statement): void {
    if (server.prepared.has(statement.id)) touch(server, statement)
    else this.#prepare(server, statement, owed.parse | owed.injected, null)
  }

  #prepare(server: PgServer, statement: Statement, kind: number, clientName: string | null): void {
    if (server.prepared.size >= preparedPerServerMax) this.#evict(server)
    server.prepared.set(statement.id, statement)
    server.youngestPrepared = statement.id
    this.#pushParse(server, kind, { change: 'made', statement, clientName })
    server.transport.sendOwned(statement.parse)
  }

  #evict(server: PgServer): void {
    for (const [id, tag] of server.prepared) {
      server.prepared.delete(id)
      const change = { change: 'evicted', statement: tag, clientName: null } as const
      this.#push(server, owed.close | owed.injected, change)
      server.transport.sendOwned(closeStatement(tag.serverName))
      return
    }
  }

  #ensureUnnamed(server: PgServer, bytes: Buffer, offset: number): void {
    const { unnamed } = this.#session.statements
    if (server.unnamedOwner === unnamed) return
    this.#session.frontend.forwardTo(bytes, offset)
    server.unnamedOwner = unnamed
    if (unnamed === null) {
      // Somebody else's is there: the client must get "does not exist", not a stranger's statement.
      server.replies.push(owed.close | owed.injected)
      server.transport.sendOwned(closeUnnamed)
      return
    }
    this.#pushParse(server, owed.parse | owed.injected, {
      change: 'made',
      statement: unnamed,
      clientName: null,
    })
    server.transport.sendOwned(unnamed.parse)
  }

  #pushParse(server: PgServer, kind: number, tag: StatementTag): void {
    this.#session.totals.serverParses += 1
    this.#push(server, kind, tag)
  }

  #push(server: PgServer, kind: number, tag: StatementTag): void {
    const { statements } = this.#session
    statements.sent(tag)
    if (!server.replies.push(kind, tag)) statements.unchanged(server, tag, true)
  }

  /** On the side that is not primary nothing but reads may follow the end of a transaction. */
  #guardReadOnly(sql: string): void {
    const session = this.#session
    if (session.onPrimary || session.identity.classifier.verdict(sql) === 'read') return
    if (session.mayHaveEnded || leavesReadOnly(sql)) throw readOnlyLeft()
    session.mayHaveEnded = mayEndTransaction(sql)
  }
}

/** A client may use such a name for itself, but never reaches a shared statement by it. */
function isNameOfOurs(name: string): boolean {
  return name.startsWith('pontoon_')
}

class Unnamed implements UnnamedStatement {
  readonly id = 0
  readonly serverName = noName
  readonly parsedFor = null
  readonly parse: Buffer
  readonly effects: number
  fate: UnnamedStatement['fate'] = 'pending'
  awaitedCount = 0
  awaitedSyncs = 0
  previous: UnnamedStatement | null

  constructor(parse: Buffer, effects: number, previous: UnnamedStatement | null) {
    this.parse = parse
    this.effects = effects
    this.previous = previous
  }

  get sql(): string {
    const end = this.parse.indexOf(0, headerBytes + 1)
    if (end < 0) throw new PontoonError('CLIENT_PROTOCOL', 'a string in a message has no end')
    return this.parse.toString('utf8', headerBytes + 1, end)
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
