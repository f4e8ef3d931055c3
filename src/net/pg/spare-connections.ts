/**
 * Connections to a side, encrypted as configured, that have said nothing of a login yet: for a rush
 * that is foreseen. Its server has made a process for each of them and agreed on TLS already, while
 * nobody waited. No role is known to it, so a fence that lets none in is as whole as before.
 */
import type { Connected } from './connect.ts'

/** Well below the 60 s after which a server gives up a login that does not come (authentication_timeout). */
const restMs = 20_000

/** Opened at once: a rush is what is to be avoided. */
const atOnce = 2

/** What happens to one that nobody has is nobody's trouble. */
const ignore = (): void => undefined

export class SpareConnections {
  readonly #resting = new Map<Connected, () => void>()
  #timer: NodeJS.Timeout | null = null
  #round = 0

  get size(): number {
    return this.#resting.size
  }

  /**
   * Opens `count` of them. Settles once they are there or one could not be had, at the latest after
   * `timeoutMs`; never rejects. They are closed after 20 s.
   */
  async fill(
    connect: (timeoutMs: number) => Promise<Connected>,
    count: number,
    timeoutMs: number,
  ): Promise<void> {
    this.close()
    const round = this.#round
    const untilMs = performance.now() + timeoutMs
    this.#timer = setTimeout(() => this.close(), restMs).unref()
    let left = count
    const run = async (): Promise<void> => {
      while (left > 0 && this.#round === round) {
        const leftMs = untilMs - performance.now()
        if (leftMs <= 0) return
        left -= 1
        // eslint-disable-next-line no-await-in-loop -- one after the other
        const connected = await connect(leftMs)
        if (this.#round === round) this.#rest(connected)
        else connected.socket.destroy()
      }
    }
    await Promise.allSettled(Array.from({ length: atOnce }, run))
  }

  /** One that is still open, or null. */
  take(): Connected | null {
    const [first] = this.#resting
    if (first === undefined) return null
    const [connected, forget] = first
    forget()
    return connected
  }

  /** Closes what is left; a `fill` that is under way leaves nothing behind. */
  close(): void {
    this.#round += 1
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    for (const [connected, forget] of this.#resting) {
      forget()
      connected.socket.destroy()
    }
  }

  #rest(connected: Connected): void {
    const { socket } = connected
    const gone = (): void => {
      forget()
      socket.destroy()
    }
    const forget = (): void => {
      this.#resting.delete(connected)
      socket.removeListener('error', ignore)
      socket.removeListener('end', gone)
      socket.removeListener('close', gone)
    }
    if (socket.destroyed) return
    socket.on('error', ignore)
    socket.on('end', gone)
    socket.on('close', gone)
    this.#resting.set(connected, forget)
  }
}
