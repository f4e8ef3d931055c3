/**
 * Verifiers of users that the configuration does not list (clientAuth.query): asked of the primary
 * side by a role of Pontoon's own, one question at a time, and remembered for a short while, also
 * that there is no such user. The name goes along as a bound parameter, never as text of the
 * query; nothing else of what the client sent reaches that connection.
 */
import type { AuthQueryConfig } from '../../config/schema.ts'
import type { QueryConnection, Rows } from '../../net/pg/query.ts'
import type { Clock } from '../../shared/clock.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import type { Side } from '../../shared/side.ts'

export interface AuthQueryParts {
  config(): AuthQueryConfig | undefined
  primary(): Side
  readonly connect: (side: Side, query: AuthQueryConfig) => Promise<QueryConnection>
  readonly clock: Clock
}

interface Answer {
  /** Null: nobody of that name may log in. */
  readonly verifier: string | null
  /** VALID UNTIL, in wall clock milliseconds. */
  readonly validUntilMs: number
}

interface Remembered extends Answer {
  readonly askedAtMs: number
  staleAtMs: number
}

interface Connected {
  readonly connection: QueryConnection
  readonly generation: number
}

const answersMax = 10_000
/** Distinct users asked for at once; a flood of invented names must not queue up. */
const underWayMax = 200
const queryTimeoutMs = 5_000
/** Who waits behind an attempt to connect that failed shares its failure, instead of the next one. */
const failureSharedMs = 1_000
/** An answer that somebody could not log in by counts no longer than this. */
const doubtedMs = 1_000
/** The connection is closed when nobody was looked up for this long. */
const idleMs = 60_000

export class AuthQuery {
  readonly #parts: AuthQueryParts
  readonly #answers = new Map<string, Remembered>()
  readonly #underWay = new Map<string, Promise<Answer>>()
  #tail: Promise<unknown> = Promise.resolve()
  #connected: Connected | null = null
  #generation = 0
  #failure: { readonly error: unknown; readonly untilMs: number } | null = null
  #idleTimer: NodeJS.Timeout | null = null

  constructor(parts: AuthQueryParts) {
    this.#parts = parts
  }

  /** Null when there is no such user. Rejects with AUTH_QUERY_FAILED when nobody can tell. */
  async lookUp(user: string): Promise<string | null> {
    if (this.#parts.config() === undefined) return null
    const known = this.#answers.get(user)
    if (known !== undefined && this.#parts.clock.nowMs() < known.staleAtMs)
      return this.#verifierOf(known)
    let asked = this.#underWay.get(user)
    if (asked === undefined) {
      if (this.#underWay.size >= underWayMax)
        throw new PontoonError('AUTH_QUERY_FAILED', 'too many users are being looked up')
      const generation = this.#generation
      asked = this.#inTurn(user, generation).finally(() => this.#underWay.delete(user))
      this.#underWay.set(user, asked)
    }
    return this.#verifierOf(await asked)
  }

  /**
   * A login by this user's verifier has failed: the password may have been changed. The next one
   * looks it up anew, but guesses are no way to ask the server as often as one likes.
   */
  doubt(user: string): void {
    const known = this.#answers.get(user)
    if (known !== undefined)
      known.staleAtMs = Math.min(known.staleAtMs, known.askedAtMs + doubtedMs)
  }

  /** Another primary or another configuration: what was learnt does not count any more. */
  forget(): void {
    this.#generation += 1
    this.#answers.clear()
    this.#failure = null
    this.#close()
  }

  close(): void {
    this.forget()
  }

  #verifierOf({ verifier, validUntilMs }: Answer): string | null {
    return this.#parts.clock.wallMs() < validUntilMs ? verifier : null
  }

  #inTurn(user: string, generation: number): Promise<Answer> {
    const mine = this.#tail.then(() => this.#ask(user, generation))
    this.#tail = mine.catch(() => undefined)
    return mine
  }

  async #ask(user: string, generation: number): Promise<Answer> {
    const query = this.#parts.config()
    if (query === undefined) return { verifier: null, validUntilMs: Number.POSITIVE_INFINITY }
    const side = this.#parts.primary()
    const askedAtMs = this.#parts.clock.nowMs()
    try {
      const answer = answerOf(await this.#rows(side, query, user), user)
      const staleAtMs = askedAtMs + query.cacheMs
      if (generation === this.#generation) this.#remember(user, { ...answer, askedAtMs, staleAtMs })
      return answer
    } catch (thrown) {
      const { message } = toPontoonError(thrown)
      const text = `user "${user}" could not be looked up on the ${side}: ${message}`
      throw new PontoonError('AUTH_QUERY_FAILED', text, { cause: thrown })
    }
  }

  async #rows(side: Side, query: AuthQueryConfig, user: string): Promise<Rows> {
    const kept = this.#connected
    if (kept?.connection.isOpen === true && kept.generation === this.#generation) {
      try {
        return await this.#run(kept.connection, query, user)
      } catch (error) {
        // An idle connection may have been cut without a word; a refused query keeps it open.
        if (kept.connection.isOpen) throw error
      }
    }
    this.#close()
    const generation = this.#generation
    const connection = await this.#connect(side, query)
    if (generation === this.#generation) this.#connected = { connection, generation }
    try {
      return await this.#run(connection, query, user)
    } finally {
      if (generation !== this.#generation) connection.close()
    }
  }

  async #connect(side: Side, query: AuthQueryConfig): Promise<QueryConnection> {
    const { clock, connect } = this.#parts
    if (this.#failure !== null && clock.nowMs() < this.#failure.untilMs) throw this.#failure.error
    try {
      const connection = await connect(side, query)
      this.#failure = null
      return connection
    } catch (error) {
      this.#failure = { error, untilMs: clock.nowMs() + failureSharedMs }
      throw error
    }
  }

  async #run(connection: QueryConnection, { sql }: AuthQueryConfig, user: string): Promise<Rows> {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => this.#close(), idleMs).unref()
    return connection.query(sql, queryTimeoutMs, [user])
  }

  #remember(user: string, answer: Remembered): void {
    this.#answers.delete(user)
    const [oldest] = this.#answers.keys()
    if (oldest !== undefined && this.#answers.size >= answersMax) this.#answers.delete(oldest)
    this.#answers.set(user, answer)
  }

  #close(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer)
    this.#idleTimer = null
    this.#connected?.connection.close()
    this.#connected = null
  }
}

/** `(name, verifier)` or `(name, verifier, valid until)`, one row at most. Throws on anything else. */
export function answerOf(rows: Rows, user: string): Answer {
  const [row, second] = rows
  const nobody = { verifier: null, validUntilMs: Number.POSITIVE_INFINITY }
  if (row === undefined) return nobody
  if (second !== undefined) throw wrongAnswer('more than one row')
  if (row.length !== 2 && row.length !== 3) throw wrongAnswer(`${row.length} columns`)
  const [name, verifier = null, validUntil = null] = row
  // A function with OUT parameters gives a row of nulls for nobody.
  if (name === null && verifier === null) return nobody
  // A query that compares in its own way must not let one user in as another.
  if (name !== user) throw wrongAnswer('another user')
  if (verifier === null || verifier === '') return nobody
  return { verifier, validUntilMs: endOf(validUntil) }
}

/** As the connection prints a timestamp: ISO, UTC. */
function endOf(text: string | null): number {
  if (text === null || text === 'infinity') return Number.POSITIVE_INFINITY
  if (text === '-infinity' || text.endsWith(' BC')) return Number.NEGATIVE_INFINITY
  // Date wants a sign before more than four digits, and would end before the server's years do.
  if (/^\d{5,6}-/.test(text)) return Number.POSITIVE_INFINITY
  const endMs = Date.parse(text.replace(' ', 'T').replace(/[+]00$/, 'Z'))
  if (Number.isNaN(endMs)) throw wrongAnswer('an end of validity that is no time stamp')
  return endMs
}

function wrongAnswer(what: string): PontoonError {
  return new PontoonError('AUTH_QUERY_FAILED', `clientAuth.query.sql gave ${what}`)
}
