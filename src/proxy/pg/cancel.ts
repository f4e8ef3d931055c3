/**
 * Cancel requests: a client knows a key of ours, which leads to its session; the request goes to
 * the session's server only while the two are linked, so it can never hit a stranger's query. A
 * request that still waits for a server is ended here.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { owed } from '../../wire/pg/reply-queue.ts'
import type { Session } from './session.ts'

/** Requests under way at once in one service; more are dropped, as a busy postmaster would. */
const cancelsMax = 100
const cancelTimeoutMs = 5_000

/** Of one session: a client that repeats itself must not use up what others need. */
const cancelsPerSessionMax = 4

export interface CancelKey {
  readonly pid: number
  readonly secret: Buffer
}

export class CancelRegistry {
  /** In session pooling the process id is the server's, and servers of two sides may share one. */
  readonly #sessions = new Map<number, readonly Session[]>()
  #underWay = 0
  #random: Buffer = Buffer.alloc(0)

  /** A key for a new session, with a process id nobody else has. */
  newKey(secretBytes: number): CancelKey {
    for (;;) {
      const pid = this.#take(4).readUInt32BE(0) >>> 1
      if (pid > 0 && !this.#sessions.has(pid)) return { pid, secret: this.newSecret(secretBytes) }
    }
  }

  newSecret(secretBytes: number): Buffer {
    return Buffer.from(this.#take(secretBytes))
  }

  /** Random bytes, fetched in batches: a call per login would cost more than the rest of it. */
  #take(bytes: number): Buffer {
    if (this.#random.length < bytes) this.#random = randomBytes(4_096)
    const taken = this.#random.subarray(0, bytes)
    this.#random = this.#random.subarray(bytes)
    return taken
  }

  add(session: Session): void {
    const { cancelPid } = session.identity
    const others = this.#sessions.get(cancelPid)
    this.#sessions.set(cancelPid, others === undefined ? [session] : [...others, session])
  }

  remove(session: Session): void {
    const { cancelPid } = session.identity
    const others = this.#sessions.get(cancelPid)?.filter((other) => other !== session) ?? []
    if (others.length === 0) this.#sessions.delete(cancelPid)
    else this.#sessions.set(cancelPid, others)
  }

  /**
   * Forwards a request and settles when it is delivered, ends what waits for a server itself, or
   * does nothing when the key or the moment is wrong. Never throws.
   */
  async request(pid: number, secret: Buffer): Promise<void> {
    const session = this.#sessions.get(pid)?.find(({ identity }) => {
      const { cancelSecret } = identity
      return cancelSecret.length === secret.length && timingSafeEqual(cancelSecret, secret)
    })
    if (session === undefined || this.#underWay >= cancelsMax) return
    if (session.wait.cancel()) return
    const { server } = session
    // Neither when nothing runs nor when what runs is a question of our own. What we put into a
    // batch of the client is a part of that: the answer to it comes with the others, at the Sync.
    if (server === null || server.replies.length === 0) return
    if (server.cancelsInFlight >= cancelsPerSessionMax) return
    if (server.replies.head === (owed.query | owed.injected)) return
    this.#underWay += 1
    try {
      await server.cancel(cancelTimeoutMs)
    } catch (error) {
      session.context.log.warn({ error: String(error) }, 'a cancel request could not be delivered')
    } finally {
      this.#underWay -= 1
    }
  }
}
