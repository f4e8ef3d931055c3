/** A statement of Pontoon's own that a server refused, in the server's words. */
import { PontoonError } from '../../shared/errors.ts'
import type { ServerError } from '../../wire/pg/read.ts'

export class SqlError extends PontoonError {
  /** Five characters (PostgreSQL documentation, Appendix A). */
  readonly sqlstate: string
  readonly #where: string
  readonly #error: ServerError

  constructor(where: string, error: ServerError, advice = '') {
    super('SQL_FAILED', `${where}: ${error.message} (SQLSTATE ${error.sqlstate})${advice}`)
    this.sqlstate = error.sqlstate
    this.#where = where
    this.#error = error
  }

  /** The same refusal, with what to do about it. */
  advised(advice: string): SqlError {
    return new SqlError(this.#where, this.#error, `. ${advice}`)
  }
}

/** Whether `thrown` is the server's refusal with one of these SQLSTATEs, or classes of two characters. */
export function hasSqlstate(thrown: unknown, ...states: readonly string[]): boolean {
  return thrown instanceof SqlError && states.some((state) => thrown.sqlstate.startsWith(state))
}
