/** An error that a server gave, kept as it came, so that a client sees the server's own words. */
import { PontoonError, type ErrorCode } from '../../shared/errors.ts'

export class VerbatimError extends PontoonError {
  readonly sqlstate: string
  /** The whole ErrorResponse message. */
  readonly response: Buffer

  constructor(code: ErrorCode, message: string, sqlstate: string, response: Buffer) {
    super(code, message)
    this.sqlstate = sqlstate
    this.response = response
  }
}
