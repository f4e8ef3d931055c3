/**
 * What clients proved at their login and what logs Pontoon in to the sides in their name, such as
 * the password itself (clientAuth mode `passthrough`). In memory only, the last one of each user.
 */
import type { Clock } from '../shared/clock.ts'

interface Proven<Secret> {
  readonly secret: Secret
  /** Until when the same password is taken without asking the server again. */
  readonly sureUntilMs: number
}

/** A password that was changed on the server lets nobody in for longer than this. */
const sureForMs = 60_000

export class ProvenSecrets<Secret> {
  readonly #clock: Clock
  readonly #byUser = new Map<string, Proven<Secret>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  of(user: string): Secret | undefined {
    return this.#byUser.get(user)?.secret
  }

  isSure(user: string, secret: Secret): boolean {
    const known = this.#byUser.get(user)
    return known?.secret === secret && this.#clock.nowMs() < known.sureUntilMs
  }

  remember(user: string, secret: Secret): void {
    this.#byUser.set(user, { secret, sureUntilMs: this.#clock.nowMs() + sureForMs })
  }

  /**
   * Every client has to prove itself anew. The secrets stay for those who are in already: their
   * pools still open servers.
   */
  doubtAll(): void {
    for (const [user, { secret }] of this.#byUser)
      this.#byUser.set(user, { secret, sureUntilMs: 0 })
  }
}
