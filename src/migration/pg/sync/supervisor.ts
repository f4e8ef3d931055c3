/**
 * Looks at the sync of one service over and over, and writes the beat: the part of the supervision
 * that knows databases. Has two connections of its own, makes them anew when they break, and never
 * throws for a side that is down: that is what it is to tell.
 */
import type { HeldBackends } from '../../../net/pg/held-backends.ts'
import type { SqlClient, SqlOptions } from '../../../net/pg/sql-client.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { sides, type Side } from '../../../shared/side.ts'
import type { Drift } from '../drift.ts'
import { missedText, readMissed, type Missed } from '../missed.ts'
import { directionFrom, directions, publicationName, type Direction } from '../names.ts'
import { connectWith, loginAs, type MigrationContext } from '../side-login.ts'
import { readSlot } from '../slot.ts'
import { writeBeat } from './beat.ts'
import type { Condition } from './condition.ts'
import { syncConditions } from './conditions.ts'
import { readSchemas, type SchemaPicture } from './drift-of.ts'
import {
  absent,
  findSubscription,
  readHealth,
  shownSlot,
  unreachable,
  type SyncHealth,
} from './health.ts'
import { receivingSide, sendingSide } from './job.ts'
import { Kept } from './kept.ts'
import { readStanding, type Standing } from './standing.ts'
import { readSurroundings, type Surroundings } from './surroundings.ts'

export interface SyncView {
  /** From the primary side to the other; the conditions are about it. */
  readonly direction: Direction
  /** The directions that there are. */
  readonly health: readonly SyncHealth[]
  readonly conditions: readonly Condition[]
  /** Whether a rollback loses nothing: after a cutover, with every condition met. */
  readonly rollbackReady: boolean
  /** Since when an operator has given the way back up; then there is no sync to look at. */
  readonly givenUpSince: string | null
  /** WAL kept by logical slots, by side and name. */
  readonly slots: readonly {
    readonly side: Side
    readonly name: string
    readonly retainedBytes: number
  }[]
  /** Whether the fence of a side stands, as it was seen last; null before. */
  readonly fences: Readonly<Record<Side, boolean | null>>
  /** Differences of the schemas, at most `driftMax`. */
  readonly drift: readonly Drift[]
}

export interface SupervisorParts {
  readonly context: MigrationContext
  /** The side whose writes are carried over, and since which epoch; asked at every look. */
  readonly route: () => { readonly primary: Side; readonly epoch: number }
  /** Is told of the connections, which are Pontoon's own. */
  readonly backends?: Readonly<Record<Side, HeldBackends>> | undefined
  /** What else has to hold; the sidecar knows more than the databases. */
  readonly moreConditions?: () => readonly Condition[]
  readonly nowMs: () => number
}

interface Clients {
  readonly source: SqlClient
  readonly target: SqlClient
}

const statementTimeoutMs = 5_000
const schemasEveryMs = 5_000
const surroundingsEveryMs = 3_000
const driftMax = 50
/** Less than the deadline of a statement, which ends its connection. */
const noteLockMs = 2_000

interface Around {
  readonly surroundings: Readonly<Record<Side, Surroundings>>
  readonly standings: Readonly<Record<Side, Standing>>
}

export class SyncSupervisor {
  readonly #parts: SupervisorParts
  readonly #clients = new Map<Side, SqlClient>()
  readonly #slots = new Map<Direction, string>()
  #isClosed = false
  #seen: readonly Direction[] = []
  #fences: SyncView['fences'] = { source: null, target: null }
  /** As it was seen last. */
  #givenUp: Missed | null = null
  readonly #schemas = new Kept<SchemaPicture>(schemasEveryMs)
  readonly #around = new Kept<Around>(surroundingsEveryMs)

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
    try {
      await this.#lookForEnd(options)
      if (this.#givenUp !== null) return await this.#withoutWayBack(this.#givenUp, options)
      if (failed.length > 0 || source === undefined || target === undefined) {
        const cause = failed.map(({ side, reason }) => `the ${side}: ${reason.message}`).join('; ')
        return await this.#withoutSide(cause, options)
      }
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

  /** The target says so, whether or not the source is there. */
  async #lookForEnd(options: SqlOptions): Promise<void> {
    if (this.#parts.route().primary === 'source') this.#givenUp = null
    else {
      const client = this.#clients.get('target')
      if (client?.isOpen !== true) return
      const missed = await readMissed(client, 'reverse', options)
      this.#givenUp = missed?.isGivenUp === true ? missed : null
    }
  }

  /** Only the WAL that the target keeps, which others may still have it keep. */
  async #withoutWayBack(missed: Missed, options: SqlOptions): Promise<SyncView> {
    const client = this.#clients.get('target')
    const kept =
      client?.isOpen === true ? (await readSurroundings(client, options)).retainedBytes : {}
    return {
      direction: 'reverse',
      health: [],
      conditions: [{ name: 'missed', ok: false, text: missedText(missed, 'SERVICE') }],
      rollbackReady: false,
      givenUpSince: missed.since,
      slots: slotsOf('target', kept),
      fences: this.#fences,
      drift: [],
    }
  }

  async #lookAt(clients: Clients, options: SqlOptions): Promise<SyncView | null> {
    const { primary, epoch } = this.#parts.route()
    const direction = directionFrom(primary)
    this.#seen = await this.#present(direction, clients, options)
    if (this.#seen.length === 0) return null
    const health: SyncHealth[] = []
    for (const one of this.#seen) {
      const found = await this.#healthOf(one, one === direction, clients, options)
      if (found.slot !== null) this.#slots.set(one, found.slot.name)
      health.push(found)
    }
    const { surroundings, standings } = await this.#aroundOf(direction, clients, options)
    const schemas = await this.#schemasOf(direction, clients, options)
    this.#fences = { source: standings.source.isFenced, target: standings.target.isFenced }
    const conditions = syncConditions({
      health: health.find((one) => one.direction === direction) ?? absent(direction),
      schemas,
      surroundings: Object.values(surroundings),
      sides: { primary, epoch, standings },
    })
    const all = [...conditions, ...(this.#parts.moreConditions?.() ?? [])]
    return {
      direction,
      health,
      conditions: all,
      rollbackReady: primary === 'target' && all.every(({ ok }) => ok),
      givenUpSince: null,
      slots: sides.flatMap((side) => slotsOf(side, surroundings[side].retainedBytes)),
      fences: this.#fences,
      drift: schemas.drift.slice(0, driftMax),
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

  /**
   * Directions that have a subscription, and the one in force also with its publication alone:
   * that of the other one stays after a switch, for the next.
   */
  async #present(
    inForce: Direction,
    clients: Clients,
    options: SqlOptions,
  ): Promise<readonly Direction[]> {
    const { service } = this.#parts.context
    const found: Direction[] = []
    for (const direction of directions) {
      const receiver = clients[receivingSide(direction)]
      const subscribed = await findSubscription(receiver, { service, direction }, options)
      const isThere =
        subscribed !== undefined ||
        (direction === inForce && (await this.#isPublished(direction, clients, options)))
      if (isThere) found.push(direction)
    }
    return found
  }

  async #isPublished(
    direction: Direction,
    clients: Clients,
    options: SqlOptions,
  ): Promise<boolean> {
    const published = await clients[sendingSide(direction)].value(
      `SELECT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $1)
         AND pg_catalog.to_regclass('pontoon.heartbeat_' || $2) IS NOT NULL`,
      [publicationName(this.#parts.context.service, direction), direction],
      options,
    )
    return published === 't'
  }

  #aroundOf(direction: Direction, clients: Clients, options: SqlOptions): Promise<Around> {
    const { context, nowMs } = this.#parts
    const { source, target } = clients
    return this.#around.read(direction, nowMs, async () => ({
      surroundings: {
        source: await readSurroundings(source, options),
        target: await readSurroundings(target, options),
      },
      standings: {
        source: await readStanding(source, context, 'source', options),
        target: await readStanding(target, context, 'target', options),
      },
    }))
  }

  #schemasOf(direction: Direction, clients: Clients, options: SqlOptions): Promise<SchemaPicture> {
    const { context, nowMs } = this.#parts
    const { service, config } = context
    const sender = clients[sendingSide(direction)]
    const receiver = clients[receivingSide(direction)]
    const { exclude } = config.migration
    return this.#schemas.read(direction, nowMs, async () => {
      const place = { service, direction }
      const found = await readSchemas({ sender, receiver }, place, exclude, options)
      return await withNote(found, clients.target, options)
    })
  }

  /** What one side alone can tell: the WAL that its slots keep for the other. */
  async #withoutSide(cause: string, options: SqlOptions): Promise<SyncView | null> {
    this.#around.forget()
    if (this.#seen.length === 0) return null
    const direction = directionFrom(this.#parts.route().primary)
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
      givenUpSince: null,
      slots: health.flatMap(({ direction: of, slot }) =>
        slot === null
          ? []
          : [{ side: sendingSide(of), name: slot.name, retainedBytes: slot.retainedBytes }],
      ),
      fences: this.#fences,
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
    const client = await connectWith({ ...login, ...told }, side)
    if (this.#isClosed) client.close()
    else this.#clients.set(side, client)
  }
}

/**
 * Has the target remember what came since. What comes one by one, each as it should, would else be taken
 * together for a mix-up, or hide one. Where it refuses, all else is known nevertheless.
 */
async function withNote(
  found: SchemaPicture,
  target: SqlClient,
  options: SqlOptions,
): Promise<SchemaPicture> {
  if (found.noteSql === null) return found
  try {
    await target.run(`SET LOCAL lock_timeout = ${noteLockMs}; ${found.noteSql}`, options)
    return found
  } catch (error) {
    if (!target.isOpen) throw error
    return { ...found, drift: [...found.drift, unnoted(toPontoonError(error).message)] }
  }
}

function unnoted(why: string): Drift {
  return {
    table: 'pontoon.table_pair',
    effect: 'loses',
    text: `cannot be written on the target, so that tables and columns that change names could be taken for others: ${why}`,
    fix: 'let the control role write there',
  }
}

function slotsOf(side: Side, retained: Surroundings['retainedBytes']): SyncView['slots'] {
  return Object.entries(retained).map(([name, retainedBytes]) => ({ side, name, retainedBytes }))
}
