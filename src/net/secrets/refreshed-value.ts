/**
 * A secret that somebody else gives out: loaded when first asked for, refreshed ahead of its end
 * while the old value still serves, loaded anew when a server refuses it. Loads are joined, and
 * failures wait longer from one to the next. Used for tokens and for Secrets Manager.
 */
import type { Clock } from '../../shared/clock.ts'
import type { PontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { secretUnavailable, type SecretSource } from './secret-source.ts'

export interface RefreshPlan {
  /** For messages: what it is and whose, never the value. */
  readonly what: string
  readonly load: () => Promise<string>
  /** What may be right when the loaded value is refused, e.g. a rotation that is under way. */
  readonly pending?: () => Promise<string | null>
  readonly refreshAfterMs: number
  /** The value is not given out any more after this long; Infinity: better an old one than none. */
  readonly usableForMs: number
}

export interface RefreshTools {
  readonly clock: Clock
  readonly log: Log
}

interface Held {
  readonly value: string
  readonly loadedAtMs: number
}

const firstRetryMs = 500
const lastRetryMs = 30_000
/** A storm of logins that are refused with one value asks at most this often. */
const renewEveryMs = 1_000

export class RefreshedValue implements SecretSource {
  readonly #plan: RefreshPlan
  readonly #tools: RefreshTools
  #held: Held | null = null
  #previous: string | null = null
  #loading: Promise<string> | null = null
  #renewing: Promise<string | null> | null = null
  /** When each value was last refused; those of the last second only. */
  readonly #refusals = new Map<string, number>()
  #failures = 0
  #retryAtMs = 0
  #lastError: PontoonError | null = null

  constructor(plan: RefreshPlan, tools: RefreshTools) {
    this.#plan = plan
    this.#tools = tools
  }

  async get(): Promise<string> {
    const held = this.#held
    if (held === null) return this.#load()
    const ageMs = this.#tools.clock.nowMs() - held.loadedAtMs
    if (ageMs >= this.#plan.usableForMs) return this.#load()
    // Whoever asks now is served with what there is; its successor comes behind.
    if (ageMs >= this.#plan.refreshAfterMs) this.#load().catch(() => undefined)
    return held.value
  }

  async renew(refused: string): Promise<string | null> {
    const held = this.#held
    if (held !== null && held.value !== refused) return held.value
    const nowMs = this.#tools.clock.nowMs()
    if (this.#renewing === null) {
      for (const [value, atMs] of this.#refusals)
        if (nowMs - atMs >= renewEveryMs) this.#refusals.delete(value)
      if (this.#refusals.has(refused)) return null
      this.#refusals.set(refused, nowMs)
      this.#renewing = this.#other(refused).finally(() => {
        this.#renewing = null
      })
    }
    const value = await this.#renewing
    return value === refused ? null : value
  }

  async #other(refused: string): Promise<string | null> {
    try {
      const loaded = await this.#load()
      if (loaded !== refused) return loaded
      const pending = (await this.#plan.pending?.()) ?? null
      const other = pending === null || pending === refused ? this.#previous : pending
      if (other === null || other === refused) return null
      this.#hold(other, this.#tools.clock.nowMs())
      return other
    } catch {
      // The refusal of the server says more than this; a failed load is in the log.
      return null
    }
  }

  #load(): Promise<string> {
    if (this.#loading !== null) return this.#loading
    if (this.#lastError !== null && this.#tools.clock.nowMs() < this.#retryAtMs)
      return Promise.reject(this.#lastError)
    this.#loading = this.#loadOnce().finally(() => {
      this.#loading = null
    })
    return this.#loading
  }

  async #loadOnce(): Promise<string> {
    const { what, load } = this.#plan
    // Its time runs from when it was made, which is after this moment.
    const askedAtMs = this.#tools.clock.nowMs()
    try {
      const value = await load()
      this.#failures = 0
      this.#lastError = null
      this.#hold(value, askedAtMs)
      return value
    } catch (thrown) {
      const error = secretUnavailable(what, thrown)
      const waitMs = Math.min(lastRetryMs, firstRetryMs * 2 ** this.#failures)
      this.#failures += 1
      this.#retryAtMs = this.#tools.clock.nowMs() + waitMs
      this.#lastError = error
      this.#tools.log.warn(
        {
          code: error.code,
          error: error.message,
          retryInMs: waitMs,
          hasValue: this.#held !== null,
        },
        'a secret could not be refreshed',
      )
      throw error
    }
  }

  #hold(value: string, loadedAtMs: number): void {
    if (this.#held !== null && this.#held.value !== value) this.#previous = this.#held.value
    this.#held = { value, loadedAtMs }
  }
}
