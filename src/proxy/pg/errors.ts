/** How an error of Pontoon's own looks to a PostgreSQL client; the only place that maps it. */
import type { PontoonError } from '../../shared/errors.ts'
import { VerbatimError } from '../../net/pg/verbatim-error.ts'
import { errorResponse } from '../../wire/pg/write.ts'

/** `isUnderWay`: part of the request may have been executed, so nobody may be told to repeat it. */
export function fatalResponse(error: PontoonError, isUnderWay = false): Buffer {
  // A refusal of the server itself is shown in its own words.
  if (error instanceof VerbatimError) return error.response
  return errorResponse({
    severity: 'FATAL',
    sqlstate: error.kind.sqlstate,
    message: error.message,
    detail: `Pontoon error ${error.code}.`,
    ...(error.kind.retrySafe && !isUnderWay && mayPass.test(error.kind.sqlstate)
      ? { hint: 'Nothing of this request was executed; it is safe to retry.' }
      : {}),
  })
}

/** Connection trouble, lack of room, operator intervention: trying again may help. */
const mayPass = /^(08(?!P01)|53|57)/
