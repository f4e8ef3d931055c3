/**
 * Waits until no session of a service has a request under way: for the report of a pause, and for
 * the end of the service. Looks when a session comes to rest, never by a timer of its own.
 */
export interface DrainsParts {
  isDrained(): boolean
}

export class Drains {
  readonly #parts: DrainsParts
  readonly #looks = new Set<() => void>()

  constructor(parts: DrainsParts) {
    this.#parts = parts
  }

  /** Something has come to rest, or the gate has moved. */
  look(): void {
    if (this.#looks.size > 0) for (const look of this.#looks) look()
  }

  /** Settles once drained or when `orElse` holds, at the latest after `waitMs`. */
  wait(waitMs: number, orElse: () => boolean = () => false): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer)
        this.#looks.delete(look)
        resolve()
      }
      const look = (): void => {
        if (this.#parts.isDrained() || orElse()) finish()
      }
      const timer = setTimeout(finish, waitMs)
      this.#looks.add(look)
      look()
    })
  }
}
