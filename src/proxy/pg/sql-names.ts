/**
 * EXECUTE, DEALLOCATE and PREPARE of SQL that name a statement which the client has prepared by
 * the protocol: on a connection of its own both share their names, so in transaction pooling the
 * name in the text is replaced by the one on the server. DEALLOCATE of a statement that others use
 * as well closes an empty one made for the purpose, so that the server's own rules decide whether
 * it happens and the client gets the server's own answer.
 */
import type { StatementTag } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { preparedNames } from '../../routing/prepared-names.ts'
import { effect } from '../../routing/session-effects.ts'
import { frontend } from '../../wire/pg/protocol.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import { message, syncMessage } from '../../wire/pg/write.ts'
import type { Preparer } from './preparer.ts'
import type { Session } from './session.ts'
import {
  closeStatement,
  gonePrefix,
  nobodysName,
  type StatementUse,
  type UnnamedStatement,
} from './statements.ts'

const namingEffects = effect.execute | effect.deallocate | effect.prepare

/** Names of SQL's PREPARE that are remembered. */
const sqlNamesMax = 1_000

/** Statements that a text may close; more of them in one text are left to the server. */
const deallocatesMax = 100

export interface RewrittenSql {
  readonly sql: Buffer
  readonly uses: readonly StatementUse[]
}

export class SqlNames {
  readonly #session: Session
  readonly #preparer: Preparer

  constructor(session: Session, preparer: Preparer) {
    this.#session = session
    this.#preparer = preparer
  }

  /** The text with names of ours in it, or null when it needs none. */
  rewrite(sql: string, effects: number): RewrittenSql | null {
    if ((effects & namingEffects) === 0) return null
    const bytes = Buffer.from(sql)
    // Not in UTF-8: offsets would not fit.
    if (sql.includes('\ufffd')) return null
    const { statements } = this.#session
    const parts: Buffer[] = []
    const uses: StatementUse[] = []
    let from = 0
    let isNew = false
    for (const { use, name, start, end } of preparedNames(sql)) {
      const held = statements.get(name) ?? null
      const ours = held === null ? nobodysOf(name) : this.#nameFor(use, uses, held.statement)
      uses.push({ use, name, held })
      if (use === 'prepare' && held === null && statements.sqlNames.size < sqlNamesMax)
        statements.sqlNames.add(name)
      if (ours === null) continue
      isNew = true
      parts.push(bytes.subarray(from, start), ours)
      from = end
    }
    if (!isNew || uses.length > deallocatesMax) return null
    parts.push(bytes.subarray(from))
    return { sql: Buffer.concat(parts), uses }
  }

  #nameFor(
    use: StatementUse['use'],
    before: readonly StatementUse[],
    { serverName }: { serverName: Buffer },
  ): Buffer {
    return use === 'deallocate' ? goneName(before.length) : serverName
  }

  /** The statements that a text executes, or would prepare again, are on the server. */
  prepareUsed(server: PgServer, uses: readonly StatementUse[]): void {
    for (const { use, held } of uses)
      if (use !== 'deallocate' && held !== null) this.#preparer.present(server, held)
  }

  /** Makes the empty statements that a text closes. */
  #prepareGone(server: PgServer, uses: readonly StatementUse[]): void {
    for (const [index, { use, name, held }] of uses.entries()) {
      if (use !== 'deallocate' || held === null) continue
      // Closed already: the server says that there is none.
      if (this.#session.statements.get(name) !== held) continue
      const gone = goneName(index)
      server.replies.push(owed.close | owed.injected)
      server.transport.sendOwned(closeStatement(gone))
      server.replies.push(owed.parse | owed.injected)
      const body = Buffer.concat([gone, Buffer.from([0, 0, 0, 0])])
      server.transport.sendOwned(message(frontend.parse, body))
    }
  }

  /**
   * Ahead of a simple Query, with a Sync of their own: what goes wrong with them is told by the
   * server's answer to the Query. In an open batch a Sync would end its transaction; there an
   * error makes the Query void with them.
   */
  prepareForQuery(server: PgServer, uses: readonly StatementUse[]): void {
    this.prepareUsed(server, uses)
    this.#prepareGone(server, uses)
    if (server.batchOpen) return
    server.replies.push(owed.sync | owed.injected)
    server.transport.sendOwned(syncMessage)
  }

  /** The unnamed statement is bound; its Execute carries the tag. */
  bound(server: PgServer, { uses }: UnnamedStatement): void {
    this.prepareUsed(server, uses)
    this.#prepareGone(server, uses)
    this.#session.statements.executeTag = {
      change: 'renamed',
      statement: null,
      clientName: null,
      ...replacedIn(uses),
    }
  }
}

/** What the names in a text stand for, for the tag of its reply. */
export function replacedIn(
  uses: readonly StatementUse[],
): Pick<StatementTag, 'deallocates' | 'clientNames'> {
  const deallocates = uses
    .filter(({ use }) => use === 'deallocate')
    .map(({ name, held }) => (held === null ? null : name))
  const clientNames = new Map<string, string>()
  for (const { name, held } of uses)
    if (held !== null) clientNames.set(held.statement.serverName.toString('latin1'), name)
  return { deallocates, clientNames }
}

/** A client may use such a name for itself, but never reaches a shared statement by it. */
export function isNameOfOurs(name: string): boolean {
  return name.startsWith('pontoon_')
}

function nobodysOf(name: string): Buffer | null {
  return isNameOfOurs(name) ? nobodysName : null
}

function goneName(index: number): Buffer {
  return Buffer.from(`${gonePrefix}${index}`)
}
