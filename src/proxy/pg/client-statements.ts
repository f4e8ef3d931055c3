/**
 * The prepared statements of one client: its names, each standing for a statement that all clients
 * share (statements.ts), and its unnamed one. What a failed batch did to them is taken back here.
 */
import type { HeldStatement, PreparedTag, StatementTag } from '../../net/pg/prepared.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { gonePrefix } from './statements.ts'
import type { Statement, StatementCatalogue, UnnamedStatement } from './statements.ts'

const ourPrefix = Buffer.from('pontoon_')
const namesOfOurs = /pontoon_(gone_)?\d+/g

export class ClientStatements {
  readonly #catalogue: StatementCatalogue
  readonly #named = new Map<string, HeldStatement<Statement>>()
  unnamed: UnnamedStatement | null = null
  /** Statements that were too long to be read: they stand on the server under their own names. */
  readonly longNames = new Set<string>()
  /** What those may do to the session. */
  longEffects = 0
  /** Names that SQL's PREPARE may have taken: a Parse of one is for the server to judge. */
  readonly sqlNames = new Set<string>()
  /** Goes with the next Execute: what was bound closes statements. */
  executeTag: StatementTag | null = null
  /**
   * Statements and names whose last change is not confirmed, and how many Syncs came before it.
   * Unnamed statements, which come with every query of many drivers, carry this themselves.
   */
  readonly #awaited = new Map<PreparedTag | string, { count: number; syncs: number }>()
  /** Unnamed statements that are awaited. */
  #awaitedUnnamed = 0
  #syncs = 0
  /** Queries under way that may close all statements. */
  #discards = 0

  constructor(catalogue: StatementCatalogue) {
    this.#catalogue = catalogue
  }

  /** Whether a change is not confirmed yet that lies behind a Sync, so that names may mislead. */
  get hasAwaited(): boolean {
    return (this.#syncs > 0 && this.#isAwaiting) || this.#discards > 0
  }

  /**
   * The same for names alone, and without the changes of the open batch: the server confirms those
   * only at its Sync, and what is void there makes all that follows void.
   */
  get hasAwaitedNames(): boolean {
    if (this.#discards > 0) return true
    for (const { syncs } of this.#awaited.values()) if (syncs < this.#syncs) return true
    return false
  }

  get #isAwaiting(): boolean {
    return this.#awaitedUnnamed > 0 || this.#awaited.size > 0
  }

  get size(): number {
    return this.#named.size
  }

  get(name: string): HeldStatement<Statement> | undefined {
    return this.#named.get(name)
  }

  has(name: string): boolean {
    return this.#named.has(name)
  }

  noteLongEffects(effects: number): void {
    if (this.longNames.size > 0) this.longEffects |= effects
  }

  takeExecuteTag(): StatementTag | null {
    const tag = this.executeTag
    if (tag !== null) this.executeTag = null
    return tag
  }

  /** The statement was taken from the catalogue for this client (`use`). */
  set(name: string, statement: Statement): HeldStatement<Statement> {
    const held = { statement, seq: this.#catalogue.nextSeq(), told: null }
    this.#named.set(name, held)
    return held
  }

  close(name: string): void {
    const held = this.#named.get(name)
    if (held === undefined) return
    this.#named.delete(name)
    this.#catalogue.leave(held.statement)
  }

  /** A message that changes something was sent. */
  sent({ change, statement, clientName }: StatementTag): void {
    if (isNoChange(change)) return
    if (change === 'discarded') this.#discards += 1
    if (statement !== null) this.#await(statement)
    if (clientName !== null && clientName !== '') this.#await(clientName)
  }

  #await(key: PreparedTag | string): void {
    if (typeof key !== 'string' && isUnnamed(key)) {
      if (key.awaitedCount === 0) this.#awaitedUnnamed += 1
      key.awaitedCount += 1
      key.awaitedSyncs = this.#syncs
      return
    }
    const count = this.#awaited.get(key)?.count ?? 0
    this.#awaited.set(key, { count: count + 1, syncs: this.#syncs })
  }

  /** It is known what has become of it. */
  known(tag: StatementTag): void {
    const { change, statement, here } = tag
    if (isNoChange(change)) return
    if (here !== undefined) here.replaced = null
    if (change === 'made' && isUnnamed(statement)) {
      statement.fate = 'made'
      statement.previous = null
    }
    this.#settle(tag)
  }

  #settle({ change, statement, clientName }: StatementTag): void {
    if (change === 'discarded') this.#discards -= 1
    if (statement !== null) this.#awaitNoMore(statement)
    if (clientName !== null && clientName !== '') this.#awaitNoMore(clientName)
  }

  #awaitNoMore(key: PreparedTag | string): void {
    if (typeof key !== 'string' && isUnnamed(key)) {
      if (key.awaitedCount === 0) return
      key.awaitedCount -= 1
      if (key.awaitedCount === 0) {
        this.#awaitedUnnamed -= 1
        this.#forgetSyncs()
      }
      return
    }
    const awaited = this.#awaited.get(key)
    if (awaited === undefined) return
    if (awaited.count === 1) {
      this.#awaited.delete(key)
      this.#forgetSyncs()
    } else this.#awaited.set(key, { ...awaited, count: awaited.count - 1 })
  }

  /** They are counted only to compare changes that are under way. */
  #forgetSyncs(): void {
    if (!this.#isAwaiting) this.#syncs = 0
  }

  synced(): void {
    if (this.#isAwaiting) this.#syncs += 1
  }

  /**
   * Whether it must be awaited what a name stands for. Within a batch it need not: what is void
   * there makes all that follows void. Behind a Sync it shows only when the replies have come.
   */
  isUncertain(name: string): boolean {
    if (this.#discards > 0) return true
    const statement = name === '' ? this.unnamed : this.#named.get(name)?.statement
    return (
      this.isFromBeforeSync(name) ||
      (statement !== undefined && statement !== null && this.isFromBeforeSync(statement))
    )
  }

  /** Whether its last change is not confirmed and lies behind a Sync. */
  isFromBeforeSync(key: PreparedTag | string): boolean {
    if (typeof key !== 'string' && isUnnamed(key))
      return key.awaitedCount > 0 && key.awaitedSyncs < this.#syncs
    const awaited = this.#awaited.get(key)
    return awaited !== undefined && awaited.syncs < this.#syncs
  }

  /** A change did not happen: it failed, or, when it is void, an earlier error kept it from it. */
  unchanged(server: PgServer, tag: StatementTag, isVoid: boolean): void {
    if (isNoChange(tag.change)) {
      if (tag.here !== undefined) tag.here.asked = 'no'
      return
    }
    this.#settle(tag)
    const { statement, clientName, change } = tag
    if (statement === null || change === 'again') return
    if (clientName === '' || !isNamed(statement)) this.#unnamedUnchanged(server, tag, isVoid)
    else this.#namedUnchanged(server, statement, tag, isVoid)
  }

  #unnamedUnchanged(server: PgServer, tag: StatementTag, isVoid: boolean): void {
    const { statement, clientName, change } = tag
    if (!isUnnamed(statement)) return
    if (change === 'closed' || change === 'discarded') {
      this.unnamed ??= survivor(statement)
      return
    }
    if (server.unnamedOwner === statement) server.unnamedOwner = null
    if (clientName === null) return
    statement.fate = isVoid ? 'void' : 'failed'
    if (this.unnamed === statement) this.unnamed = survivor(statement)
  }

  #namedUnchanged(
    server: PgServer,
    statement: Statement,
    { clientName, change, here, held }: StatementTag,
    isVoid: boolean,
  ): void {
    const { id } = statement
    if (change === 'made' && server.prepared.get(id) === here) {
      // When its Parse was not read, the Close ahead of it was not read either.
      const left = isVoid ? (here?.replaced ?? null) : null
      if (left === null) server.prepared.delete(id)
      else server.prepared.set(id, left)
    }
    if (change === 'evicted' && here !== undefined) server.prepared.set(id, here)
    if (clientName === null) return
    const named = this.#named.get(clientName)
    if (change === 'closed') {
      if (named !== undefined || held === undefined) return
      this.#named.set(clientName, { ...held, statement: this.#catalogue.useAgain(statement) })
    } else if (named?.statement === statement) this.close(clientName)
  }

  /** DISCARD ALL or DEALLOCATE ALL has run: only what was sent behind it is left on the server. */
  discarded(server: PgServer): void {
    const kept = new Set<string>()
    server.forgetStatements()
    this.longNames.clear()
    this.sqlNames.clear()
    for (const { statement, clientName, change, here } of server.replies.tags()) {
      if (statement === null || !isNamed(statement)) continue
      if (change !== 'made' && change !== 'again') continue
      if (here !== undefined) server.prepared.set(statement.id, here)
      if (clientName !== null && this.#named.get(clientName)?.statement === statement)
        kept.add(clientName)
    }
    for (const name of this.#named.keys()) if (!kept.has(name)) this.close(name)
  }

  /** An error that names a statement by our name, with the client's in its place; or null. */
  inClientsWords(
    bytes: Buffer,
    start: number,
    end: number,
    failed: StatementTag | null,
  ): Buffer | null {
    const at = bytes.indexOf(ourPrefix, start)
    if (at < 0 || at >= end || bytes.readInt32BE(start + 1) !== end - start - 1) return null
    const told = bytes.toString('latin1', start, end).replaceAll(namesOfOurs, (ours) => {
      if (ours.startsWith(gonePrefix)) return failed?.deallocates?.[0] ?? ours
      const replaced = failed?.clientNames?.get(ours)
      if (replaced !== undefined) return replaced
      // Several names may stand for the same statement.
      if (failed !== null && isCalled(failed, ours)) return failed.clientName ?? ours
      for (const [name, { statement }] of this.#named)
        if (statement.serverName.toString('latin1') === ours) return name
      return ours
    })
    const words = Buffer.from(told, 'latin1')
    words.writeInt32BE(words.length - 1, 1)
    return words
  }

  /** The client has gone. */
  leave(): void {
    for (const { statement } of this.#named.values()) this.#catalogue.leave(statement)
    this.#named.clear()
  }
}

/** Says nothing about which statements there are. */
function isNoChange(change: StatementTag['change']): boolean {
  return change === 'described' || change === 'outdated' || change === 'renamed'
}

function isNamed(statement: PreparedTag): statement is Statement {
  return statement.id !== 0
}

function isCalled({ statement }: StatementTag, ours: string): boolean {
  return statement !== null && isNamed(statement) && statement.serverName.toString() === ours
}

function isUnnamed(statement: PreparedTag | null | undefined): statement is UnnamedStatement {
  return statement !== null && statement !== undefined && statement.id === 0
}

/** What is left of an unnamed statement and those before it, as far as it is known. */
function survivor(statement: UnnamedStatement): UnnamedStatement | null {
  let left: UnnamedStatement | null = statement
  while (left?.fate === 'void') left = left.previous
  return left?.fate === 'failed' ? null : left
}
