/** A value that is read anew when it is old or about something else. */

/** A value is kept at least this many times as long as reading it took. */
const keptTimes = 20

export class Kept<T> {
  readonly #everyMs: number
  #held: {
    readonly about: string
    readonly atMs: number
    readonly tookMs: number
    readonly value: T
  } | null = null

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** Rejects as `read` does; then nothing is kept. */
  async read(about: string, nowMs: () => number, read: () => Promise<T>): Promise<T> {
    const held = this.#held
    const beganMs = nowMs()
    if (held !== null && held.about === about) {
      const ageMaxMs = Math.max(this.#everyMs, held.tookMs * keptTimes)
      if (beganMs - held.atMs < ageMaxMs) return held.value
    }
    this.#held = null
    const value = await read()
    const atMs = nowMs()
    this.#held = { about, atMs, tookMs: atMs - beganMs, value }
    return value
  }

  forget(): void {
    this.#held = null
  }
}
