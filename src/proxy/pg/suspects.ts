/**
 * Finds servers whose host or backend is gone although their connection looks open: a host that
 * lost its power or its network sends no farewell, and Node offers neither TCP_USER_TIMEOUT nor
 * the intervals of TCP keepalive. Idle servers are probed by their pool. A server that somebody
 * has cannot be asked in-band, so one that is silent is looked into from the side: a second
 * connection to the same address asks whether its backend is still there.
 *
 * Only silence that speaks for itself ends a server: two connections in a row that were not
 * answered, or the word of its own database that there is no such backend. A refusal comes from a
 * host that lives; a query that takes long has a backend; and behind a load balancer another host
 * may answer, which knows nothing of this one's backends. One that was restarted has another
 * postmaster as well, but its kernel answers TCP's keepalive with a reset.
 */
import { askBackends, type BackendsAnswer } from '../../net/pg/backends.ts'
import type { LoginOptions } from '../../net/pg/login.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { isUnanswered, Silences, unansweredMax, type Silence } from '../../net/silence.ts'
import type { Clock } from '../../shared/clock.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import type { ServiceConfig } from '../../config/schema.ts'
import type { Side } from '../../shared/side.ts'
import type { PoolSet, PoolSlot, ServerKind } from './pool-set.ts'

export interface SuspectsParts {
  readonly name: string
  config(): ServiceConfig
  loginOptions(kind: ServerKind): LoginOptions
  readonly clock: Clock
  readonly log: Log
  readonly pools: PoolSet
}

type Suspect = Silence<PgServer>

/** Once the host is suspect, this much silence is enough for a check. */
const suspectSilenceMs = 1_000

/** How long a suspicion lasts without a new one. */
const suspicionMs = 30_000

export class Suspects {
  readonly #parts: SuspectsParts
  readonly #silences = new Silences<PgServer>()
  /** One check per pool at a time. */
  readonly #checking = new Set<PoolSlot>()
  readonly #suspectedAtMs: Record<Side, number> = {
    source: Number.NEGATIVE_INFINITY,
    target: Number.NEGATIVE_INFINITY,
  }

  constructor(parts: SuspectsParts) {
    this.#parts = parts
  }

  /** A connect or an idle server of this side was not answered. */
  suspect(side: Side): void {
    this.#suspectedAtMs[side] = this.#parts.clock.nowMs()
  }

  /** Once a second. */
  look(): void {
    const now = this.#parts.clock.nowMs()
    for (const slot of this.#parts.pools.slots()) {
      if (slot.existing === null || slot.existing.outCount === 0) continue
      const silent = this.#silentServers(slot, now)
      if (silent.length === 0 || this.#checking.has(slot)) continue
      this.#checking.add(slot)
      void this.#check(slot, silent, now)
    }
  }

  #silentServers(slot: PoolSlot, now: number): readonly Suspect[] {
    const { suspectAfterMs, probeIntervalMs } = this.#parts.config().pool
    const isSuspect = now - this.#suspectedAtMs[slot.kind.side] < suspicionMs
    const silent: Suspect[] = []
    for (const { server, isOut } of slot.existing?.servers() ?? []) {
      if (!isOut) continue
      const suspect = this.#silences.of(server, now)
      // One that owes nothing is asked as seldom as an idle one: its client may just be silent.
      const restMs = owes(server) ? suspectAfterMs : Math.max(probeIntervalMs, suspectAfterMs)
      const limitMs = isSuspect ? Math.min(suspectSilenceMs, restMs) : restMs
      const againMs = suspect.unanswered > 0 ? suspectSilenceMs : restMs
      if (now - suspect.silentSinceMs < limitMs || now - suspect.checkedAtMs < againMs) continue
      silent.push(suspect)
    }
    return silent
  }

  async #check(slot: PoolSlot, suspects: readonly Suspect[], now: number): Promise<void> {
    try {
      // All of a pool lead to one address, but for the moment in which its name is moved.
      const address = suspects[0]?.server.address ?? null
      const same = suspects.filter(({ server }) => server.address === address)
      for (const suspect of same) suspect.checkedAtMs = now
      const gone = await this.#gone(slot.kind, address, same)
      for (const suspect of same) if (gone.has(suspect)) this.#end(suspect, slot.kind)
    } finally {
      this.#checking.delete(slot)
    }
  }

  async #gone(
    kind: ServerKind,
    address: string | null,
    suspects: readonly Suspect[],
  ): Promise<ReadonlySet<Suspect>> {
    const options = this.#parts.loginOptions(kind)
    const endpoint = { ...options.endpoint, host: address ?? options.endpoint.host }
    const gone = new Set<Suspect>()
    try {
      const pids = suspects.map(({ server }) => server.pid)
      const answer = await askBackends({ ...options, endpoint }, pids)
      for (const suspect of suspects) {
        suspect.unanswered = 0
        if (answer !== null && isGone(suspect.server, answer)) gone.add(suspect)
      }
    } catch (thrown) {
      const isSilence = isUnanswered(toPontoonError(thrown))
      for (const suspect of suspects) {
        suspect.unanswered = isSilence ? suspect.unanswered + 1 : 0
        if (suspect.unanswered >= unansweredMax) gone.add(suspect)
      }
    }
    return gone
  }

  /** Unless it has spoken meanwhile. */
  #end(suspect: Suspect, { side }: ServerKind): void {
    if (!this.#silences.isStill(suspect)) return
    const { server, unanswered } = suspect
    const why =
      unanswered > 0 ? 'its host does not answer' : 'its backend is gone, as the database says'
    if (unanswered > 0) this.suspect(side)
    const { log, name } = this.#parts
    log.warn({ service: name, side, pid: server.pid }, `a silent server is given up: ${why}`)
    server.transport.destroy(new PontoonError('SERVER_LOST', why))
  }
}

function isGone({ pid, postmaster }: PgServer, answer: BackendsAnswer): boolean {
  return postmaster !== null && postmaster === answer.postmaster && !answer.alive.has(pid)
}

/** It is its turn: a reply is due, or it does not take what it was sent. */
function owes({ replies, copyIn, transport }: PgServer): boolean {
  return (replies.length > 0 && !copyIn) || transport.unwrittenBytes > 0
}
