/** Work on a server is tried again when the server went away; what it refuses is not. */
import { setTimeout as delay } from 'node:timers/promises'
import { hasSqlstate, SqlError } from '../../../net/pg/sql-error.ts'
import { PontoonError, toPontoonError, type ErrorCode } from '../../../shared/errors.ts'
import { copyLimits } from './limits.ts'

const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'SERVER_LOST',
  'SERVER_UNAVAILABLE',
  'CONNECT_FAILED',
  'CONNECT_TIMEOUT',
  'DNS_FAILED',
])
/** Shutdown and crash recovery, lost connections, deadlocks, too many connections. */
const passingStates = ['57P', '08', '40', '53300'] as const
const firstWaitMs = 250

export interface RetryOptions {
  /** What is tried, for messages. */
  readonly what: string
  readonly signal: AbortSignal
  readonly onRetry: (words: string) => void
}

export async function withRetry<T>(
  { what, signal, onRetry }: RetryOptions,
  run: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run()
    } catch (thrown) {
      signal.throwIfAborted()
      if (attempt >= copyLimits.attemptsMax || !passes(thrown)) throw explained(thrown, what)
      const waitMs = Math.min(copyLimits.retryMaxMs, firstWaitMs * 2 ** attempt)
      const { message } = toPontoonError(thrown)
      onRetry(`${what}: ${message}; trying again in ${Math.round(waitMs / 100) / 10} s`)
      await delay(waitMs, undefined, { signal })
    }
  }
}

function passes(thrown: unknown): boolean {
  if (hasSqlstate(thrown, ...passingStates)) return true
  return thrown instanceof PontoonError && passing.has(thrown.code)
}

/** Beyond what the command line says of every refusal. */
const advice: Readonly<Record<string, string>> = {
  '22021':
    'Text that is not valid in the encoding of the target: mend it on the source, then run with ' +
    '--restart, since the snapshot has it as it was.',
  '23505':
    'A row is there twice: someone else has written to the target, or an index of the source is ' +
    'corrupt, then run the same command again.',
}

/** The server's words, what was being done, and what to do about it. */
function explained(thrown: unknown, what: string): unknown {
  if (!(thrown instanceof SqlError)) return thrown
  const known = advice[thrown.sqlstate]
  const then = known === undefined ? '' : ` ${known}`
  return new PontoonError('SQL_FAILED', `${what}: ${thrown.message}.${then}`, { cause: thrown })
}
