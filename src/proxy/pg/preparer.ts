/**
 * Sees to it that a statement is on the server when a client's message names it, and that it is
 * what the client may expect:
 *
 * - It was parsed there after the client parsed it, so that a plan from before some DDL is never
 *   met by a client that prepared after it (decision 0007).
 * - It gives the columns that the client was told. Where others come out, the client gets the
 *   error of a server of its own (`cached plan must not change result type`), not other columns
 *   under a driver that remembers the old ones.
 */
import type { HeldStatement, PreparedHere, StatementTag } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { frontend } from '../../wire/pg/protocol.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { message } from '../../wire/pg/write.ts'
import { givesWhatWasTold } from './columns.ts'
import type { Session } from './session.ts'
import {
  closeStatement,
  describeStatement,
  touch,
  type Statement,
  type UnnamedStatement,
} from './statements.ts'

/** Statements prepared on one server; the least recently used one is closed beyond that. */
export const preparedPerServerMax = 500

const flush = message(frontend.flush, Buffer.alloc(0))
const closeUnnamed = closeStatement(Buffer.alloc(0))

/** ask: it must be waited for the columns. outdated: they are not what the client knows. */
export type Readiness = 'ready' | 'ask' | 'outdated'

export class Preparer {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** Whether a message that names the statement may follow. */
  ready(server: PgServer, held: HeldStatement<Statement>): Readiness {
    const here = this.present(server, held)
    const { told } = held
    if (told === null || told === here || server.replies.isSkipping) return 'ready'
    if (here.columns === null && told.columns !== null) {
      this.#ask(server, here)
      return 'ask'
    }
    if (!givesWhatWasTold(here, told)) return 'outdated'
    held.told = here
    return 'ready'
  }

  /** The statement on the server, parsed now when it is not there or too old. */
  present(server: PgServer, held: HeldStatement<Statement>): PreparedHere {
    const { statement, seq } = held
    const here = server.prepared.get(statement.id)
    if (here !== undefined && here.seq > seq) {
      touch(server, here)
      return here
    }
    return this.prepare(server, statement, owed.parse | owed.injected, null)
  }

  prepare(
    server: PgServer,
    statement: Statement,
    kind: number,
    clientName: string | null,
  ): PreparedHere {
    const { prepared } = server
    const old = prepared.get(statement.id) ?? null
    if (old !== null) {
      server.replies.push(owed.close | owed.injected)
      server.transport.sendOwned(closeStatement(statement.serverName))
      prepared.delete(statement.id)
    } else if (prepared.size >= preparedPerServerMax) this.#evict(server)
    const here = this.newHere(statement, old)
    prepared.set(statement.id, here)
    server.youngestPrepared = statement.id
    this.pushParse(server, kind, { change: 'made', statement, clientName, here })
    server.transport.sendOwned(statement.parse)
    if (statement.isTold) this.#describe(server, here)
    return here
  }

  newHere(statement: Statement, replaced: PreparedHere | null = null): PreparedHere {
    const seq = this.#session.context.statements.nextSeq()
    return { statement, seq, columns: null, asked: 'no', replaced }
  }

  #evict(server: PgServer): void {
    for (const [id, here] of server.prepared) {
      server.prepared.delete(id)
      const { statement } = here
      this.push(server, owed.close | owed.injected, {
        change: 'evicted',
        statement,
        clientName: null,
        here,
      })
      server.transport.sendOwned(closeStatement(statement.serverName))
      return
    }
  }

  #describe(server: PgServer, here: PreparedHere): void {
    here.asked = 'sent'
    this.push(server, owed.describe | owed.injected, described(here))
    server.transport.sendOwned(describeStatement(here.statement.serverName))
  }

  /** Gets the columns now: without a Flush the server keeps its answer until the Sync. */
  #ask(server: PgServer, here: PreparedHere): void {
    if (here.asked === 'no') this.#describe(server, here)
    if (here.asked !== 'sent') return
    here.asked = 'flushed'
    server.transport.sendOwned(flush)
  }

  /** The client asks for the columns itself; the tag makes the answer known. */
  toTell(held: HeldStatement<Statement>, here: PreparedHere): StatementTag | null {
    held.told = here
    held.statement.isTold = true
    if (here.columns !== null || here.asked !== 'no') return null
    here.asked = 'sent'
    return described(here)
  }

  /** The client's unnamed statement takes the place of the one that is there. */
  unnamed(server: PgServer, unnamed: UnnamedStatement | null): void {
    server.unnamedOwner = unnamed
    if (unnamed === null) {
      // Somebody else's is there: the client must get "does not exist", not a stranger's statement.
      server.replies.push(owed.close | owed.injected)
      server.transport.sendOwned(closeUnnamed)
      return
    }
    this.pushParse(server, owed.parse | owed.injected, {
      change: 'made',
      statement: unnamed,
      clientName: null,
    })
    server.transport.sendOwned(unnamed.parse)
  }

  pushParse(server: PgServer, kind: number, tag: StatementTag): void {
    this.#session.totals.serverParses += 1
    this.push(server, kind, tag)
  }

  push(server: PgServer, kind: number, tag: StatementTag): void {
    const { statements } = this.#session
    statements.sent(tag)
    if (!server.replies.push(kind, tag)) statements.unchanged(server, tag, true)
  }
}

function described(here: PreparedHere): StatementTag {
  return { change: 'described', statement: here.statement, clientName: null, here }
}
