/** How often the limits of the configuration were reached, by the key that sets them. */
import type { ErrorCode } from '../shared/errors.ts'
import type { ServiceStats } from './service.ts'

/** Errors that say nothing else than that a limit was reached. */
export const limitOfError: Readonly<Partial<Record<ErrorCode, string>>> = {
  CLIENT_LIMIT: 'limits.clientsMax',
  CLIENT_USER_LIMIT: 'limits.clientsPerUserMax',
  CLIENT_DATABASE_LIMIT: 'limits.clientsPerDatabaseMax',
  REPLICATION_LIMIT: 'limits.replicationClientsMax',
  CLIENT_LOGIN_TIMEOUT: 'limits.loginTimeoutMs',
  STARTUP_TOO_LARGE: 'limits.startupBytesMax',
  MESSAGE_TOO_LARGE: 'limits.messageBytesMax',
  CLIENT_SLOW_READER: 'limits.slowReaderMs',
  QUERY_TIMEOUT: 'limits.cancelGraceMs',
  TRANSACTION_TIMEOUT: 'limits.transactionTimeoutMs',
  IDLE_IN_TRANSACTION: 'limits.idleInTransactionMs',
  CLIENT_IDLE: 'limits.clientIdleMs',
  BUFFER_LIMIT: 'limits.bufferBytesMax',
  POOL_QUEUE_FULL: 'pool.queueMax',
  POOL_TIMEOUT: 'pool.queueTimeoutMs',
}

/** Every limit with its count, those that were never reached too. */
export function limitHits({ ownErrors, queriesCancelled }: ServiceStats): Map<string, number> {
  const hits = new Map([['limits.queryTimeoutMs', queriesCancelled]])
  for (const limit of Object.values(limitOfError)) hits.set(limit, 0)
  for (const [code, count] of ownErrors) {
    const limit = isErrorCode(code) ? limitOfError[code] : undefined
    if (limit !== undefined) hits.set(limit, (hits.get(limit) ?? 0) + count)
  }
  return hits
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(limitOfError, code)
}
