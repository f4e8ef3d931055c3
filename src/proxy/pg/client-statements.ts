/**
 * The prepared statements of one client: its names, each standing for a statement that all clients
 * share (statements.ts), and its unnamed one. What a failed batch did to them is taken back here.
 */
import type { PgServer, PreparedTag, StatementTag } from '../../net/pg/server.ts'
import type { Statement, StatementCatalogue, UnnamedStatement } from './statements.ts'

export class ClientStatements {
  readonly #catalogue: StatementCatalogue
  readonly #named = new Map<string, Statement>()
  unnamed: UnnamedStatement | null = null

  constructor(catalogue: StatementCatalogue) {
    this.#catalogue = catalogue
  }

  get size(): number {
    return this.#named.size
  }

  get(name: string): Statement | undefined {
    return this.#named.get(name)
  }

  has(name: string): boolean {
    return this.#named.has(name)
  }

  /** The statement was taken from the catalogue for this client (`use`). */
  set(name: string, statement: Statement): void {
    this.#named.set(name, statement)
  }

  close(name: string): void {
    const statement = this.#named.get(name)
    if (statement === undefined) return
    this.#named.delete(name)
    this.#catalogue.leave(statement)
  }

  /** A Parse or Close did not happen: it failed, or an earlier error voided it. */
  unchanged(server: PgServer, tag: StatementTag): void {
    const { statement, clientName, change } = tag
    if (!isNamed(statement)) {
      if (server.unnamedOwner === statement) server.unnamedOwner = null
      if (clientName !== null && this.unnamed === statement) this.unnamed = null
      return
    }
    if (change === 'made') server.prepared.delete(statement.id)
    if (change === 'evicted') server.prepared.set(statement.id, statement)
    if (clientName === null) return
    const named = this.#named.get(clientName)
    if (change === 'closed') {
      if (named === undefined) this.#named.set(clientName, this.#catalogue.useAgain(statement))
    } else if (named === statement) this.close(clientName)
  }

  /** DISCARD ALL or DEALLOCATE ALL has run: only what was sent behind it is left on the server. */
  discarded(server: PgServer): void {
    const kept = new Set<string>()
    server.forgetStatements()
    for (const { statement, clientName, change } of server.replies.tags()) {
      if (!isNamed(statement) || change === 'closed' || change === 'evicted') continue
      if (change === 'made') server.prepared.set(statement.id, statement)
      if (clientName !== null && this.#named.get(clientName) === statement) kept.add(clientName)
    }
    for (const name of this.#named.keys()) if (!kept.has(name)) this.close(name)
  }

  /** The client has gone. */
  leave(): void {
    for (const statement of this.#named.values()) this.#catalogue.leave(statement)
    this.#named.clear()
  }
}

function isNamed(statement: PreparedTag): statement is Statement {
  return statement.id !== 0
}
