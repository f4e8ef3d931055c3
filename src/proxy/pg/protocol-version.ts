/**
 * Which version of the protocol one side is asked for. Servers before 18 answer a request for 3.2
 * by naming 3.0, but some poolers and gateways refuse it or hang up. So with `auto` it is asked for
 * only once a server of the side has said that it is PostgreSQL 18, and no more if it is refused.
 */
import type { SideConfig } from '../../config/schema.ts'
import type { LoggedIn } from '../../net/pg/login.ts'
import { serverMajor } from '../../net/pg/reported.ts'
import { VerbatimError } from '../../net/pg/verbatim-error.ts'
import { PontoonError } from '../../shared/errors.ts'
import { newestMinor } from '../../wire/pg/protocol.ts'

const firstMajorWithLongKeys = 18

export class ProtocolVersion {
  #isKnownNew = false
  #wasRefused = false

  /** Runs `attempt` with the minor version to ask for; again with an older one if it is refused. */
  async login(
    configured: SideConfig['protocolVersion'],
    attempt: (minor: number) => Promise<LoggedIn>,
  ): Promise<LoggedIn> {
    const minor = this.#minor(configured)
    try {
      const loggedIn = await attempt(minor)
      this.#isKnownNew = serverMajor(loggedIn.reported) >= firstMajorWithLongKeys
      return loggedIn
    } catch (error) {
      if (minor === 0 || configured !== 'auto' || !isAboutVersion(error)) throw error
      this.#wasRefused = true
      return attempt(0)
    }
  }

  #minor(configured: SideConfig['protocolVersion']): number {
    if (configured === 'auto') return this.#isKnownNew && !this.#wasRefused ? newestMinor : 0
    return configured === '3.2' ? newestMinor : 0
  }
}

/** feature_not_supported or protocol_violation in so many words, or no answer that makes sense. */
function isAboutVersion(error: unknown): boolean {
  if (error instanceof VerbatimError)
    return error.sqlstate === '0A000' || error.sqlstate === '08P01'
  return (
    error instanceof PontoonError &&
    (error.code === 'SERVER_PROTOCOL' || error.code === 'CONNECT_FAILED')
  )
}
