/**
 * Passwords that the primary side has taken from clients (clientAuth mode `passthrough`): with the
 * last one of each user, servers are opened in its name. In memory only.
 */
import { redisLogin, type RedisLoginOptions } from '../../net/redis/login.ts'
import type { Clock } from '../../shared/clock.ts'

interface Proven {
  readonly password: string
  /** Until when it is taken without asking the server again. */
  readonly sureUntilMs: number
}

/** A password that was changed on the server lets nobody in for longer than this. */
const sureForMs = 60_000

export class ProvenPasswords {
  readonly #clock: Clock
  readonly #byUser = new Map<string, Proven>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  of(user: string): string | undefined {
    return this.#byUser.get(user)?.password
  }

  isSure(user: string, password: string): boolean {
    const known = this.#byUser.get(user)
    return known?.password === password && this.#clock.nowMs() < known.sureUntilMs
  }

  /** Rejects with what the server says to it. */
  async prove(user: string, password: string, options: RedisLoginOptions): Promise<void> {
    const { socket } = await redisLogin(options)
    socket.destroy()
    this.#byUser.set(user, { password, sureUntilMs: this.#clock.nowMs() + sureForMs })
  }
}
