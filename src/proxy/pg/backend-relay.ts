/**
 * Server bytes on their way to the client: forwarded in the largest pieces possible, with only
 * headers looked at. The oldest owed reply (wire/pg/reply-queue.ts) tells whose reply a message
 * is; replies to what Pontoon injected are swallowed. When nothing is owed after ReadyForQuery,
 * the session settles.
 */
import type { PgServer } from '../../net/pg/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { backend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { readError, readParameterStatus, readTextRow } from '../../wire/pg/read.ts'
import { errorResponse } from '../../wire/pg/write.ts'
import { owed, owedKindMask } from '../../wire/pg/reply-queue.ts'
import { countIn } from '../service.ts'
import { columnsIn, noColumns } from './columns.ts'
import type { Session } from './session.ts'
import { takesNotification } from './session-listening.ts'
import { isThroughWith, mayLoseServer } from './session-move.ts'

/**
 * Messages other than rows and COPY data are read whole up to this size: a RowDescription of 1,600
 * columns is the largest that matters. Longer ones stream through.
 */
const inspectBytesMax = 512 * 1024

/** Longest message a server can send (PostgreSQL's MaxAllocSize is 1 GiB - 1). */
const serverMessageBytesMax = 0x7fff_fffe

/** The error of a plan that would give other columns than it did, told apart by its routine. */
const planOutdated = '0A000'
const planRoutine = 'RevalidateCachedQuery'
const outdatedPlan = errorResponse({
  severity: 'ERROR',
  sqlstate: planOutdated,
  message: 'cached plan must not change result type',
  routine: planRoutine,
})
/** What comes before that in a failed transaction. */
const transactionAborted = errorResponse({
  severity: 'ERROR',
  sqlstate: '25P02',
  message: 'current transaction is aborted, commands ignored until end of transaction block',
})
/** invalid_sql_statement_name */
const noStatement = '26000'

export class BackendRelay implements TransportHandler {
  readonly #session: Session
  /** The start of a message that is not complete yet. */
  #carry: Buffer | null = null
  /** Bytes of the present message that are still to come. */
  #bodyBytes = 0
  #isSwallowing = false
  /** Start of the bytes that go to the client as they are. */
  #from = 0
  /** The server has said a last word (FATAL), which the client has got. */
  #wasTold = false

  constructor(session: Session) {
    this.#session = session
  }

  /** The client has whole messages only. */
  get isBetweenMessages(): boolean {
    return this.#bodyBytes === 0 || this.#isSwallowing
  }

  /** Nothing of a message is still to come: whoever gets the server next can read on from here. */
  get isAtBoundary(): boolean {
    return this.#carry === null && this.#bodyBytes === 0
  }

  /** Bytes of the server that are kept here. */
  get heldBytes(): number {
    return this.#carry?.length ?? 0
  }

  /** The server is another's from now on. */
  forget(): void {
    this.#carry = null
    this.#bodyBytes = 0
    this.#isSwallowing = false
  }

  onBytes(chunk: Buffer, length: number): void {
    const session = this.#session
    const { server } = session
    if (server === null) return
    session.context.stats.bytesFromServers += length
    let bytes = chunk
    let end = length
    if (this.#carry !== null) {
      bytes = Buffer.concat([this.#carry, chunk.subarray(0, length)])
      end = bytes.length
      this.#carry = null
    }
    try {
      this.#walk(server, bytes, end)
    } catch (thrown) {
      server.spoil()
      session.fail(toPontoonError(thrown))
      return
    }
    const { awaitsStatement, isLeaving } = session.frontend
    if (awaitsStatement || (isLeaving && !server.isAtRest)) session.frontend.resume()
    // It was only waiting to leave.
    if (session.server !== server) return
    if (server.replies.length > 0 || !this.isAtBoundary) return
    if (session.errands.underWay === 'settings') session.errands.applied()
    else if (server.isAtRest && session.frontend.isBetweenMessages) session.settle()
    else session.frontend.resume()
  }

  onCongested(): void {
    // The server does not take what the client sends: stop reading from the client.
    this.#session.client.pauseReading()
  }

  onDrained(): void {
    this.#session.frontend.resume()
  }

  onClosed(error: Error | null): void {
    const why =
      error === null
        ? 'the server closed the connection'
        : `the connection to the server failed: ${error.message}`
    this.#session.serverLost(new PontoonError('SERVER_LOST', why), this.#wasTold)
  }

  #walk(server: PgServer, bytes: Buffer, end: number): void {
    let offset = Math.min(this.#bodyBytes, end)
    this.#bodyBytes -= offset
    this.#from = this.#isSwallowing ? offset : 0
    if (this.#bodyBytes === 0) this.#isSwallowing = (server.replies.head & owed.injected) !== 0
    while (end - offset >= headerBytes) {
      const type = bytes[offset] ?? 0
      const total = bytes.readInt32BE(offset + 1) + 1
      if (total < headerBytes || total > serverMessageBytesMax)
        throw new PontoonError('SERVER_PROTOCOL', 'the server sent an invalid message length')
      const available = end - offset
      const isData = (type === backend.dataRow || type === backend.copyData) && !this.#isSwallowing
      if (available < total && total <= inspectBytesMax && !isData) break
      if (!isData) this.#message(server, bytes, offset, total, available, type)
      const here = Math.min(total, available)
      this.#bodyBytes = total - here
      offset += here
    }
    this.#forwardTo(bytes, this.#bodyBytes > 0 ? end : offset)
    if (this.#bodyBytes === 0 && offset < end)
      this.#carry = Buffer.from(bytes.subarray(offset, end))
  }

  /** Sends the bytes before `offset` to the client, unless they are ours to swallow. */
  #forwardTo(bytes: Buffer, offset: number): void {
    const from = this.#from
    this.#from = offset
    if (this.#isSwallowing || offset <= from) return
    this.#session.context.stats.bytesToClients += offset - from
    this.#session.totals.bytesToClients += offset - from
    this.#session.client.send(bytes, from, offset)
  }

  /** Looks at one message. What is swallowed is cut out of the forwarded bytes at its ends. */
  #message(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    total: number,
    available: number,
    type: number,
  ): void {
    const { replies } = server
    const isWhole = available >= total
    const end = offset + total
    switch (type) {
      case backend.readyForQuery:
        server.status = isWhole ? (bytes[offset + headerBytes] ?? 0) : 0
        this.#ready(server, bytes, end)
        return
      case backend.commandComplete:
        if (isWhole) this.#complete(server, bytes, offset, end)
        if ((replies.head & owedKindMask) === owed.execute) this.#shift(server, bytes, end)
        return
      case backend.emptyQueryResponse:
      case backend.portalSuspended:
        if ((replies.head & owedKindMask) === owed.execute) this.#shift(server, bytes, end)
        return
      case backend.rowDescription:
      case backend.noData:
        if ((replies.head & owedKindMask) !== owed.describe) return
        if (replies.headTag !== null)
          learnColumns(server, bytes, offset, isWhole ? end : offset, type)
        this.#shift(server, bytes, end)
        return
      case backend.parseComplete: {
        this.#expect(replies, owed.parse)
        const tag = replies.headTag
        if (tag !== null) {
          this.#session.parseSucceeded(tag)
          this.#session.statements.known(tag)
        }
        this.#shift(server, bytes, end)
        return
      }
      case backend.bindComplete:
        this.#expect(replies, owed.bind)
        this.#shift(server, bytes, end)
        return
      case backend.closeComplete:
        this.#closed(server, bytes, end)
        return
      case backend.dataRow:
        if (isWhole) this.#session.errands.row(readTextRow(bytes, offset + headerBytes, end))
        return
      case backend.errorResponse:
        this.#error(server, bytes, offset, isWhole ? end : offset + available)
        return
      case backend.parameterStatus:
        if (isWhole) this.#parameter(server, bytes, offset, end)
        return
      case backend.notificationResponse:
        if (isWhole) this.#notification(server, bytes, offset, end)
        return
      case backend.copyInResponse:
        server.copyIn = replies.enterCopyIn()
        return
      case backend.copyBothResponse:
        this.#session.pinReason = 'replication'
        server.copyIn = true
        return
      default:
    }
  }

  /** The oldest reply is complete at `end`: swallowing may start or stop here. */
  #shift(server: PgServer, bytes: Buffer, end: number): void {
    const { replies } = server
    if (replies.length === 0)
      throw new PontoonError('SERVER_PROTOCOL', 'the server sent a reply nobody asked for')
    replies.shift()
    const swallow = (replies.head & owed.injected) !== 0
    if (swallow === this.#isSwallowing) return
    this.#forwardTo(bytes, end)
    this.#isSwallowing = swallow
  }

  #ready(server: PgServer, bytes: Buffer, end: number): void {
    const wasInjected = this.#isSwallowing
    const kind = server.replies.head & owedKindMask
    if (kind !== owed.query && kind !== owed.sync && kind !== owed.functionCall) {
      if (server.replies.mayHaveStraySync && kind === owed.none) {
        server.replies.takeStraySync()
        return
      }
      throw new PontoonError('SERVER_PROTOCOL', 'the server sent ReadyForQuery amid other replies')
    }
    server.copyIn = false
    const session = this.#session
    const tag = server.replies.headTag
    if (tag !== null) session.statements.known(tag)
    session.listening?.ready(server.status !== txStatus.idle)
    this.#shift(server, bytes, end)
    if (!wasInjected) return
    session.errands.queryDone(server)
    if (session.reported !== server.reported && !session.errands.isRefused)
      session.tellReported(server)
  }

  #closed(server: PgServer, bytes: Buffer, end: number): void {
    this.#expect(server.replies, owed.close)
    const tag = server.replies.headTag
    if (tag !== null) this.#session.statements.known(tag)
    this.#shift(server, bytes, end)
  }

  #expect(replies: PgServer['replies'], kind: number): void {
    if ((replies.head & owedKindMask) !== kind)
      throw new PontoonError('SERVER_PROTOCOL', 'the server sent a reply nobody asked for')
  }

  /** Tags tell when all statements of the server are gone. */
  #complete(server: PgServer, bytes: Buffer, offset: number, end: number): void {
    this.#session.listening?.completed(bytes, offset + headerBytes)
    if (bytes[offset + headerBytes] !== 0x44) return // 'D'
    const tag = bytes.toString('latin1', offset + headerBytes, end - 1)
    if (!this.#session.isPooled) {
      if (tag === 'DISCARD ALL') this.#session.footprint?.clear()
      return
    }
    if (tag === 'DEALLOCATE') this.#deallocated(server)
    if (tag === 'DISCARD SEQUENCES' && !this.#isSwallowing) this.#session.sequences.discarded()
    if (tag === 'DISCARD ALL') this.#session.discarded()
    if (tag === 'DISCARD ALL' || tag === 'DEALLOCATE ALL')
      this.#session.statements.discarded(server)
  }

  #deallocated(server: PgServer): void {
    const name = server.replies.headTag?.deallocates?.shift()
    // By a text that could not be read: if it was one of ours, our list is wrong.
    if (name === undefined) server.spoil()
    else if (name !== null) this.#session.statements.close(name)
  }

  #error(server: PgServer, bytes: Buffer, offset: number, end: number): void {
    const session = this.#session
    const error = readError(bytes, offset + headerBytes, end)
    countIn(session.context.stats.serverErrors, error.sqlstate.slice(0, 2))
    server.hasRefused = true
    const failed = server.replies.headTag
    server.replies.fail((tag, isVoid) => session.statements.unchanged(server, tag, isVoid))
    if (error.sqlstate === planOutdated && error.routine === planRoutine) server.doubtStatements()
    if (error.sqlstate === noStatement && namesOurs(error.message)) server.spoil()
    // A ReadyForQuery too many must not reach the next client.
    if (server.replies.mayHaveStraySync) server.spoil()
    // The server has left COPY mode by itself; a Sync counts again.
    server.copyIn = false
    const isLast = error.severity === 'FATAL' || error.severity === 'PANIC'
    if (isLast && this.#goesOn(server)) {
      // The session goes on with another one, and nobody else gets this one.
      server.spoil()
      this.#forwardTo(bytes, offset)
      this.#from = end
      return
    }
    if (this.#isSwallowing) {
      this.#injectedFailed(server, error.message, offset)
      if (isLast && !this.#isSwallowing) this.#wasTold = true
      return
    }
    session.listening?.failed()
    if (isLast) this.#wasTold = true
    const isOutdated = failed?.change === 'outdated'
    const outdated = server.status === txStatus.failed ? transactionAborted : outdatedPlan
    const words = isOutdated
      ? outdated
      : session.statements.inClientsWords(bytes, offset, end, failed)
    if (words === null) return
    this.#forwardTo(bytes, offset)
    session.client.sendOwned(words)
    this.#from = end
  }

  /** The session goes on without this server, of whose end its client need not know. */
  #goesOn(server: PgServer): boolean {
    const session = this.#session
    if (mayLoseServer(session) || isThroughWith(session, server)) return true
    if (!session.restart.mayStartOver(server)) return false
    session.errands.awaitEnd()
    return true
  }

  /**
   * Something Pontoon injected was refused. The error of a Parse stands for the client's Bind,
   * which was to follow, so the client gets it.
   */
  #injectedFailed(server: PgServer, text: string, offset: number): void {
    const { head } = server.replies
    const kind = head & owedKindMask
    if (kind === owed.query) {
      this.#session.errands.failed(server, text)
      return
    }
    // Ahead of a Query, whose own answer tells what is wrong.
    if (kind === owed.sync && (head & owed.injected) !== 0) return
    this.#isSwallowing = false
    this.#from = offset
  }

  /** Comes whenever it likes, also amid what is swallowed. */
  #notification(server: PgServer, bytes: Buffer, offset: number, end: number): void {
    const session = this.#session
    const takes = takesNotification(session, bytes, offset, end)
    if (takes === 'unasked') server.spoil()
    if (takes === 'yes' && this.#isSwallowing) session.client.send(bytes, offset, end)
    if (takes === 'yes' || this.#isSwallowing) return
    this.#forwardTo(bytes, offset)
    this.#from = end
  }

  #parameter(server: PgServer, bytes: Buffer, offset: number, end: number): void {
    const [name, value] = readParameterStatus(bytes, offset + headerBytes, end)
    const isSame = this.#session.reported === server.reported
    server.report(name, value)
    if (!this.#isSwallowing && this.#session.isPooled) this.#session.noteReport()
    // Forwarded as it is: the client knows it as soon as we do.
    if (!this.#isSwallowing && isSame) this.#session.reported = server.reported
  }
}

/** The answer to a Describe whose statement's columns were not known; none when it is too long. */
function learnColumns(
  server: PgServer,
  bytes: Buffer,
  offset: number,
  end: number,
  type: number,
): void {
  const here = server.replies.headTag?.here
  if (here === undefined) return
  here.columns =
    type === backend.noData || end === offset
      ? noColumns(server.side)
      : columnsIn(server.side, bytes, offset + headerBytes, end)
}

function namesOurs(text: string): boolean {
  return /"pontoon_[1-9]\d*"/.test(text)
}
