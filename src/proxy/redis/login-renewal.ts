/**
 * ElastiCache ends a connection 12 hours after its login with a token. Shared servers are replaced
 * long before (pool.maxLifetimeMs); one that a client has for itself for longer logs in again here,
 * between two commands. Neighbours: service.ts, which sweeps; own-server.ts, which sends it.
 */
import { toPontoonError } from '../../shared/errors.ts'
import type { RedisLoginOptions } from '../../net/redis/login.ts'
import { command } from '../../wire/redis/write.ts'
import type { RedisContext } from './context.ts'
import type { Session } from './session.ts'

const renewAfterMs = 11 * 3_600_000

/** One that could not be sent, or whose token could not be had, is tried again after this long. */
const retryAfterMs = 60_000

export class LoginRenewal {
  readonly #context: RedisContext

  constructor(context: RedisContext) {
    this.#context = context
  }

  look(session: Session, nowMs: number): void {
    const server = session.own?.relay.server
    if (server === undefined || nowMs - server.loggedInAtMs < renewAfterMs) return
    if (this.#context.config[server.side].auth === undefined) return
    server.loggedInAtMs = nowMs - renewAfterMs + retryAfterMs
    this.#renew(session, nowMs).catch((thrown: unknown) => {
      const { code, message } = toPontoonError(thrown)
      const { name, log } = this.#context
      log.warn({ service: name, side: server.side, code, error: message }, 'no new login is sent')
    })
  }

  async #renew(session: Session, nowMs: number): Promise<void> {
    const { own } = session
    if (own === null) return
    const { server } = own.relay
    const options = this.#context.loginOptions({
      side: server.side,
      user: session.user ?? '',
      database: 0,
      version: null,
    })
    const login = await loginOf(options)
    if (login === null) return
    const { user, password } = login
    const request = user === null ? command('AUTH', password) : command('AUTH', user, password)
    if (session.own === own && own.logInAgain(request)) server.loggedInAtMs = nowMs
  }
}

export interface Login {
  /** Null: the password stands for the default user. */
  readonly user: string | null
  readonly password: string
}

/** What a server is told with AUTH; null for nothing. */
export async function loginOf({ user, password }: RedisLoginOptions): Promise<Login | null> {
  if (password === null) return null
  return { user, password: typeof password === 'string' ? password : await password.get() }
}
