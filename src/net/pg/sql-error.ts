/** A statement of Pontoon's own that a server refused, in the server's words. */
import { PontoonError } from '../../shared/errors.ts'
import type { ServerError } from '../../wire/pg/read.ts'

export class SqlError extends PontoonError {
  /** Five characters (PostgreSQL documentation, Appendix A). */
  readonly sqlstate: string

  constructor(where: string, { message, sqlstate }: ServerError) {
    super('SQL_FAILED', `${where}: ${message} (SQLSTATE ${sqlstate})`)
    this.sqlstate = sqlstate
  }
}

/** Whether `thrown` is the server's refusal with one of these SQLSTATEs, or classes of two characters. */
export function hasSqlstate(thrown: unknown, ...states: readonly string[]): boolean {
  return thrown instanceof SqlError && states.some((state) => thrown.sqlstate.startsWith(state))
}
