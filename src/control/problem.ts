/**
 * Errors as RFC 9457 problem documents: the one place where a code becomes an HTTP answer.
 */
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import type { ErrorCode } from '../shared/errors.ts'

export const problemContentType = 'application/problem+json; charset=utf-8'

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  /** Whether the same request may be sent again knowing that nothing of it was done. */
  readonly retrySafe: boolean
  readonly instance?: string
  readonly [extension: string]: unknown
}

/** An error that carries more members for its problem document, e.g. the epoch in force. */
export class ProblemError extends PontoonError {
  readonly extensions: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, extensions: Readonly<Record<string, unknown>>) {
    super(code, message)
    this.extensions = extensions
  }
}

export function problemOf(error: PontoonError, instance?: string): Problem {
  const { http, meaning, retrySafe } = error.kind
  return {
    ...(error instanceof ProblemError ? error.extensions : {}),
    type: `urn:pontoon:error:${error.code}`,
    title: meaning,
    status: http,
    // A bug's own words may hold anything; they go to the log, not to the caller.
    detail: error.code === 'INTERNAL' ? 'See the log of the sidecar.' : error.message,
    code: error.code,
    retrySafe,
    ...(instance === undefined ? {} : { instance }),
  }
}

/** What fastify throws by itself, in our codes. */
const frameworkCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  FST_ERR_NOT_FOUND: 'NOT_FOUND',
}

export function fromThrown(thrown: unknown): PontoonError {
  if (thrown instanceof PontoonError) return thrown
  const { code, statusCode, validation, message } = fieldsOf(thrown)
  if (validation) return new PontoonError('BAD_REQUEST', message, { cause: thrown })
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new PontoonError('BAD_REQUEST', 'Send the body as Content-Type: application/json.')
  }
  const known = frameworkCodes[code]
  if (known !== undefined) return new PontoonError(known, message, { cause: thrown })
  const isCallersFault = statusCode >= 400 && statusCode < 500
  return toPontoonError(thrown, isCallersFault ? 'BAD_REQUEST' : 'INTERNAL')
}

interface ThrownFields {
  readonly code: string
  readonly statusCode: number
  readonly validation: boolean
  readonly message: string
}

function fieldsOf(thrown: unknown): ThrownFields {
  const fields = typeof thrown === 'object' && thrown !== null ? thrown : {}
  return {
    code: 'code' in fields ? String(fields.code) : '',
    statusCode: 'statusCode' in fields ? Number(fields.statusCode) : 0,
    validation: 'validation' in fields,
    message: thrown instanceof Error ? thrown.message : String(thrown),
  }
}
