/**
 * The backends of one side that Pontoon holds, whatever for: by their process ids as the server
 * told them at the login, since addresses say nothing behind NAT or within one pod. What
 * pg_stat_activity shows beyond them has come past Pontoon.
 */
import type { Socket } from 'node:net'

/** A backend of ours by what nobody else's can have at once: its id there and the port of our end. */
export interface RestingBackend {
  readonly pid: number
  readonly port: number
}

/** A backend that was cut off without a farewell shows for a moment after its connection is gone. */
const lingersMs = 1_000

export class HeldBackends {
  readonly #held = new Map<number, number>()
  readonly #left = new Map<number, number>()

  /** Process ids, also of connections that were closed a moment ago. */
  pids(): readonly number[] {
    const now = performance.now()
    for (const [pid, untilMs] of this.#left) if (untilMs < now) this.#left.delete(pid)
    return [...new Set([...this.#held.keys(), ...this.#left.keys()])]
  }

  /** A login has been told its process id; it counts until the socket is closed. */
  opened(pid: number, socket: Socket): void {
    // A pooler in between may tell none; and two hosts of a name may give the same one.
    if (pid === 0) return
    this.#held.set(pid, (this.#held.get(pid) ?? 0) + 1)
    socket.once('close', () => {
      const left = (this.#held.get(pid) ?? 1) - 1
      if (left > 0) this.#held.set(pid, left)
      else this.#held.delete(pid)
      this.#left.set(pid, performance.now() + lingersMs)
    })
  }
}
