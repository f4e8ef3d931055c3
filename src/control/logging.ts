/**
 * The process log: JSON lines for machines, readable lines only when stderr is a terminal.
 * The only file that knows pino; everything else sees shared/log.ts. Logs go to stderr so that
 * stdout stays free for what a command prints.
 */
import { pino, stdTimeFunctions } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from '../config/schema.ts'
import type { Log } from '../shared/log.ts'

export type LogLevel = Config['log']['level']

export interface ProcessLog extends Log {
  setLevel(level: LogLevel): void
}

/** Keys that never reach the log in clear text, down to three levels deep. */
const secretKeys = ['password', 'secret', 'verifier', 'token', 'authorization', 'key', 'pass']

const redactPaths = secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`, `*.*.*.${key}`])

/** `destination` is for tests; by default stderr, prettified on a terminal. */
export function createLog(level: LogLevel, destination?: DestinationStream): ProcessLog {
  const logger: Logger = pino(
    {
      level,
      base: { app: 'pontoon' },
      timestamp: stdTimeFunctions.isoTime,
      redact: { paths: redactPaths, censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination ?? defaultDestination(),
  )
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    setLevel: (next) => {
      logger.level = next
    },
  }
}

/** Synchronous on purpose: the last lines before an exit must not be lost. */
function defaultDestination(): DestinationStream {
  if (process.stderr.isTTY) {
    return pretty({ destination: 2, sync: true, ignore: 'app,pid,hostname', singleLine: true })
  }
  return pino.destination({ fd: 2, sync: true })
}
