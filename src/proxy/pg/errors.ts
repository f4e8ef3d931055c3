/** How an error of Pontoon's own looks to a PostgreSQL client; the only place that maps it. */
import type { PontoonError } from '../../shared/errors.ts'
import { VerbatimError } from '../../net/pg/verbatim-error.ts'
import { errorResponse } from '../../wire/pg/write.ts'

/** `isUnderWay`: part of the request may have been executed, so nobody may be told to repeat it. */
export function fatalResponse(error: PontoonError, isUnderWay = false): Buffer {
  // A refusal of the server itself is shown in its own words.
  const isServers = error instanceof VerbatimError
  if (isServers && error.sqlstate !== wrongPassword) return error.response
  return errorResponse({
    severity: 'FATAL',
    sqlstate: isServers ? error.sqlstate : error.kind.sqlstate,
    message: error.message,
    detail: `Pontoon error ${error.code}.`,
    ...(error.kind.retrySafe && !isUnderWay && mayPass.test(error.kind.sqlstate)
      ? { hint: 'Nothing of this request was executed; it is safe to retry.' }
      : {}),
  })
}

/**
 * The client has proved itself by then, so it is Pontoon's password that is wrong: in the server's
 * words alone, everybody would look for the mistake in that of the client.
 */
const wrongPassword = '28P01'

/** Connection trouble, lack of room, operator intervention: trying again may help. */
const mayPass = /^(08(?!P01)|53|57)/
