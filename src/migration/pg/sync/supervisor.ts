/**
 * Looks at the sync of one service over and over, and writes the beat: the part of the supervision
 * that knows databases. Has two connections of its own, makes them anew when they break, and never
 * throws for a side that is down: that is what it is to tell.
 */
import type { HeldBackends } from '../../../net/pg/held-backends.ts'
import { SqlClient, type SqlOptions } from '../../../net/pg/sql-client.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { otherSide, sides, type Side } from '../../../shared/side.ts'
import type { Drift } from '../drift.ts'
import { isFenced } from '../fence.ts'
import { directions, publicationName, type Direction } from '../names.ts'
import { loginAs, type MigrationContext } from '../side-login.ts'
import { readSlot } from '../slot.ts'
import { writeBeat } from './beat.ts'
import { syncConditions, type Condition } from './conditions.ts'
import { readSchemas, type SchemaPicture } from './drift-of.ts'
import { findSubscription, readHealth, shownSlot, unreachable, type SyncHealth } from './health.ts'
import { receivingSide, sendingSide } from './job.ts'
import { readSurroundings, type Surroundings } from './surroundings.ts'

export interface SyncView {
  /** From the primary side to the other; the conditions are about it. */
  readonly direction: Direction
  /** The directions that there are. */
  readonly health: readonly SyncHealth[]
  readonly conditions: readonly Condition[]
  /** Whether a rollback loses nothing: after a cutover, with every condition met. */
  readonly rollbackReady: boolean
  /** WAL kept by logical slots, by side and name. */
  readonly slots: readonly {
    readonly side: Side
    readonly name: string
    readonly retainedBytes: number
  }[]
  /** Differences of the schemas, at most `driftMax`. */
  readonly drift: readonly Drift[]
}

export interface SupervisorParts {
  readonly context: MigrationContext
  /** Whose writes are carried over; asked at every look. */
  readonly primary: () => Side
  /** Is told of the connections, which are Pontoon's own. */
  readonly backends?: Readonly<Record<Side, HeldBackends>> | undefined
  /** What else has to hold; whoever switches sides knows more. */
  readonly moreConditions?: () => readonly Condition[]
  readonly nowMs: () => number
}

interface Clients {
  readonly source: SqlClient
  readonly target: SqlClient
}

const statementTimeoutMs = 5_000
const schemasEveryMs = 30_000
const surroundingsEveryMs = 5_000
const driftMax = 50

export class SyncSupervisor {
  readonly #parts: SupervisorParts
  readonly #clients = new Map<Side, SqlClient>()
  readonly #slots = new Map<Direction, string>()
  #isClosed = false
  #seen: readonly Direction[] = []
  #schemas: { readonly atMs: number; readonly picture: SchemaPicture } | null = null
  #surroundings: {
    readonly atMs: number
    readonly of: Readonly<Record<Side, Surroundings>>
  } | null = null

  constructor(parts: SupervisorParts) {
    this.#parts = parts
  }

  /** Null while neither direction has been set up. */
  async look(signal: AbortSignal): Promise<SyncView | null> {
    const options = { timeoutMs: statementTimeoutMs, signal }
    const settled = await Promise.allSettled(sides.map((side) => this.#client(side)))
    const failed = settled.flatMap((one, at) =>
      one.status === 'rejected' ? [{ side: sides[at], reason: toPontoonError(one.reason) }] : [],
    )
    const [source, target] = sides.map((side) => this.#clients.get(side))
    if (failed.length > 0 || source === undefined || target === undefined) {
      const cause = failed.map(({ side, reason }) => `the ${side}: ${reason.message}`).join('; ')
      return await this.#withoutSide(cause, options)
    }
    try {
      return await this.#lookAt({ source, target }, options)
    } catch (thrown) {
      if (signal.aborted) throw thrown
      return await this.#withoutSide(toPontoonError(thrown).message, options)
    }
  }

  close(): void {
    this.#isClosed = true
    for (const client of this.#clients.values()) client.close()
    this.#clients.clear()
  }

  async #lookAt(clients: Clients, options: SqlOptions): Promise<SyncView | null> {
    const primary = this.#parts.primary()
    const direction: Direction = primary === 'source' ? 'forward' : 'reverse'
    this.#seen = await this.#present(clients, options)
    if (this.#seen.length === 0) return null
    const health: SyncHealth[] = []
    for (const one of this.#seen) {
      const found = await this.#healthOf(one, one === direction, clients, options)
      if (found.slot !== null) this.#slots.set(one, found.slot.name)
      health.push(found)
    }
    const main = health.find((one) => one.direction === direction)
    const around = await this.#around(clients, options)
    const schemas = main === undefined ? null : await this.#schemasOf(direction, clients, options)
    const fenced = await isFenced(clients[otherSide(primary)])
    const conditions =
      main === undefined
        ? [{ name: 'stream', ok: false, text: `there is no ${direction} sync` }]
        : syncConditions({
            health: main,
            schemas,
            surroundings: Object.values(around),
            isFenced: fenced,
          })
    const all = [...conditions, ...(this.#parts.moreConditions?.() ?? [])]
    return {
      direction,
      health,
      conditions: all,
      rollbackReady: primary === 'target' && all.every(({ ok }) => ok),
      slots: sides.flatMap((side) =>
        Object.entries(around[side].retainedBytes).map(([name, retainedBytes]) => ({
          side,
          name,
          retainedBytes,
        })),
      ),
      drift: schemas?.drift.slice(0, driftMax) ?? [],
    }
  }

  /** Only the primary side beats: the other one is fenced, and has nothing to tell. */
  async #healthOf(
    direction: Direction,
    beats: boolean,
    clients: Clients,
    options: SqlOptions,
  ): Promise<SyncHealth> {
    const sender = clients[sendingSide(direction)]
    const receiver = clients[receivingSide(direction)]
    if (beats) await writeBeat(sender, direction, options)
    const { service } = this.#parts.context
    return await readHealth({ sender, receiver }, { service, direction }, options)
  }

  /** Directions whose publication or subscription is there. */
  async #present(clients: Clients, options: SqlOptions): Promise<readonly Direction[]> {
    const { service } = this.#parts.context
    const found: Direction[] = []
    for (const direction of directions) {
      const published = await clients[sendingSide(direction)].value(
        `SELECT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $1)
           AND pg_catalog.to_regclass('pontoon.heartbeat_' || $2) IS NOT NULL`,
        [publicationName(service, direction), direction],
        options,
      )
      const receiver = clients[receivingSide(direction)]
      const subscribed = await findSubscription(receiver, { service, direction }, options)
      if (published === 't' || subscribed !== undefined) found.push(direction)
    }
    return found
  }

  async #around(
    clients: Clients,
    options: SqlOptions,
  ): Promise<Readonly<Record<Side, Surroundings>>> {
    const nowMs = this.#parts.nowMs()
    if (this.#surroundings !== null && nowMs - this.#surroundings.atMs < surroundingsEveryMs)
      return this.#surroundings.of
    const of = {
      source: await readSurroundings(clients.source, options),
      target: await readSurroundings(clients.target, options),
    }
    this.#surroundings = { atMs: nowMs, of }
    return of
  }

  async #schemasOf(
    direction: Direction,
    clients: Clients,
    options: SqlOptions,
  ): Promise<SchemaPicture> {
    const nowMs = this.#parts.nowMs()
    if (this.#schemas !== null && nowMs - this.#schemas.atMs < schemasEveryMs)
      return this.#schemas.picture
    const { service, config } = this.#parts.context
    const of = {
      sender: clients[sendingSide(direction)],
      receiver: clients[receivingSide(direction)],
    }
    const picture = await readSchemas(of, { service, direction }, config.migration.exclude, options)
    this.#schemas = { atMs: nowMs, picture }
    return picture
  }

  /** What one side alone can tell: the WAL that its slots keep for the other. */
  async #withoutSide(cause: string, options: SqlOptions): Promise<SyncView | null> {
    this.#surroundings = null
    if (this.#seen.length === 0) return null
    const direction: Direction = this.#parts.primary() === 'source' ? 'forward' : 'reverse'
    const health: SyncHealth[] = []
    for (const one of this.#seen) {
      const sender = this.#clients.get(sendingSide(one))
      const name = this.#slots.get(one)
      const slot =
        sender?.isOpen === true && name !== undefined
          ? await readSlot(sender, name, options).catch(() => undefined)
          : undefined
      health.push({ ...unreachable(one, cause), slot: shownSlot(slot ?? null) })
    }
    return {
      direction,
      health,
      conditions: [{ name: 'stream', ok: false, text: cause }],
      rollbackReady: false,
      slots: health.flatMap(({ direction: of, slot }) =>
        slot === null
          ? []
          : [{ side: sendingSide(of), name: slot.name, retainedBytes: slot.retainedBytes }],
      ),
      drift: [],
    }
  }

  async #client(side: Side): Promise<void> {
    if (this.#clients.get(side)?.isOpen === true) return
    this.#clients.delete(side)
    const { context, backends } = this.#parts
    const task = `sync ${context.service}`
    const login = loginAs(context, { side, purpose: 'control', task })
    const told = backends === undefined ? {} : { backends: backends[side] }
    const client = await SqlClient.connect({ ...login, ...told })
    if (this.#isClosed) client.close()
    else this.#clients.set(side, client)
  }
}
