/**
 * The simple Query in transaction pooling: what its text does to the session is noted, and names
 * of prepared statements in it are replaced where the client means its own (sql-names.ts).
 */
import type { StatementTag } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { effect, sessionEffects } from '../../routing/session-effects.ts'
import { resetOf } from '../../routing/session-reset.ts'
import { frontend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { message } from '../../wire/pg/write.ts'
import { leavesReadOnly, readOnlyLeft } from './choose-side.ts'
import type { Session } from './session.ts'
import { replacedIn, type RewrittenSql, type SqlNames } from './sql-names.ts'
import type { UnnamedStatement } from './statements.ts'

const namingEffects = effect.execute | effect.deallocate | effect.prepare
const closingEffects = effect.deallocate | effect.discardAll

export class QueryRelay {
  readonly #session: Session
  readonly #sqlNames: SqlNames

  constructor(session: Session, sqlNames: SqlNames) {
    this.#session = session
    this.#sqlNames = sqlNames
  }

  /**
   * Relays the Query at `offset`, of which the bytes up to `end` are here: all of them, unless it
   * is too long to be read whole.
   */
  relay(
    server: PgServer,
    bytes: Buffer,
    offset: number,
    end: number,
    total: number,
  ): 'forward' | 'replaced' | 'wait' {
    const session = this.#session
    const isWhole = end - offset === total
    const effects = isWhole ? sessionEffects(bytes, offset + headerBytes, end - 1) : 0
    const mayName = (effects & namingEffects) !== 0 && !server.replies.isSkipping
    // It must be known what the names in it stand for.
    if (mayName && this.#isUncertain(server)) return 'wait'
    if (!session.onPrimary && !isWhole) throw readOnlyLeft()
    if (!session.onPrimary && server.status !== txStatus.idle)
      if (leavesReadOnly(textOf(bytes, offset, end))) throw readOnlyLeft()
    const rewritten = mayName ? this.#sqlNames.rewrite(textOf(bytes, offset, end), effects) : null
    const { unnamed, longNames } = session.statements
    server.unnamedOwner = null
    session.statements.unnamed = null
    if (longNames.size > 0) longNames.delete('')
    if (!isWhole) session.frontend.scanLongText(bytes, offset + headerBytes, end)
    if (effects !== 0) {
      const sql = textOf(bytes, offset, end)
      const isAlone = session.effects === 0 && session.pinReason === '' && server.isAtRest
      if (isAlone && (effects & effect.settings) !== 0) session.reset = resetOf(sql)
      session.sequences.forgetOthers(server, effects)
      session.noteEffects(effects, sql)
    }
    if (rewritten !== null) {
      session.frontend.forwardTo(bytes, offset)
      this.#sqlNames.prepareForQuery(server, rewritten.uses)
    }
    // Its ReadyForQuery ends an extended batch as well.
    if (this.#push(server, this.#tag(server, effects, unnamed, rewritten))) server.batchOpen = false
    if (rewritten === null) return 'forward'
    const body = Buffer.concat([rewritten.sql, Buffer.alloc(1)])
    server.transport.sendOwned(message(frontend.query, body))
    return 'replaced'
  }

  /**
   * Outside of a batch a Sync of our own goes ahead: behind an error that is not known yet, it
   * would bring what the server is about to ignore to life.
   */
  #isUncertain({ batchOpen, replies }: PgServer): boolean {
    return batchOpen ? this.#session.statements.hasAwaitedNames : replies.length > 0
  }

  #tag(
    server: PgServer,
    effects: number,
    unnamed: UnnamedStatement | null,
    rewritten: RewrittenSql | null,
  ): StatementTag | null {
    if ((effects & closingEffects) !== 0) {
      const tag = { change: 'discarded', statement: unnamed, clientName: '' } as const
      return rewritten === null ? tag : { ...tag, ...replacedIn(rewritten.uses) }
    }
    if (rewritten !== null)
      return { change: 'renamed', statement: null, clientName: null, ...replacedIn(rewritten.uses) }
    // Outside of a batch nothing can keep it from being run.
    if (!server.batchOpen || unnamed === null) return null
    return { change: 'closed', statement: unnamed, clientName: '' }
  }

  /** False when the server is going to ignore it. */
  #push(server: PgServer, tag: StatementTag | null): boolean {
    if (tag === null) return server.replies.push(owed.query)
    const { statements } = this.#session
    statements.sent(tag)
    const isRead = server.replies.push(owed.query, tag)
    if (!isRead) statements.unchanged(server, tag, true)
    return isRead
  }
}

/** The text of a Query message that is here whole. */
function textOf(bytes: Buffer, offset: number, end: number): string {
  return bytes.toString('utf8', offset + headerBytes, end - 1)
}
