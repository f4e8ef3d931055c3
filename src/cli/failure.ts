/** How an error reaches the person or program that ran a command: words, a hint, an exit code. */
import { VerbatimError } from '../net/pg/verbatim-error.ts'
import { BugError } from '../shared/assert.ts'
import { toPontoonError } from '../shared/errors.ts'
import type { ErrorCode, PontoonError } from '../shared/errors.ts'
import { exitCodes } from './command.ts'
import type { ExitCode } from './command.ts'
import { printable } from './display-width.ts'
import type { Output } from './output.ts'

/** What to do about it, where the message alone does not say. */
const hints: Partial<Readonly<Record<ErrorCode, string>>> = {
  USAGE: 'See pontoon help, or pontoon COMMAND --help.',
  ADMIN_UNREACHABLE:
    'Start a sidecar with: pontoon serve --config FILE\n' +
    'or say where it runs (admin.listen there): --admin http://HOST:PORT, also in PONTOON_ADMIN.',
  UNAUTHENTICATED: 'Put one of admin.tokens of the configuration into PONTOON_TOKEN.',
  FORBIDDEN: 'Use a token whose role is operator (admin.tokens in the configuration).',
  STATE_LOCKED: 'Stop the other one, or give this one its own folder under state.file.',
  LISTEN_IN_USE: 'Stop the other process, or choose another address in the configuration.',
  CONFIG_ENV_MISSING:
    'Set what is missing in the environment of this command; ${NAME:-value} in the file gives a default.',
  EPOCH_STALE: 'Look with pontoon status SERVICE, then decide again.',
}

/** The same of what a server has refused, by its SQLSTATE. */
const sqlHints: Readonly<Record<string, string>> = {
  '25006':
    'That server takes no writes: it is a standby, or somebody has made it read-only. Name the primary.',
  '42501':
    "pontoon schema gives Pontoon's roles all that they need (--source-admin, --target-admin), or prints\n" +
    'the SQL for an administrator (--print-sql). Where row security is forced: ALTER ROLE … BYPASSRLS.',
  '53100': 'Make room on the disk of that server, then run the same command again.',
  '53300': 'Raise max_connections there, or end sessions that nobody needs, then run it again.',
  '53400':
    'Drop what nobody reads (SELECT * FROM pg_replication_slots), or raise the limit and restart that server.',
}

export function reportFailure(thrown: unknown, output: Output): ExitCode {
  const error = toPontoonError(thrown)
  const hint = hintOf(error)
  if (output.json) {
    const { code, message, kind } = error
    output.result(
      {
        error: {
          code,
          message,
          retrySafe: kind.retrySafe,
          ...(hint === undefined ? {} : { hint }),
        },
      },
      () => '',
    )
  } else {
    output.error(`pontoon: ${wordsOf(error)}`)
    for (const line of hint?.split('\n') ?? []) output.error(`  ${line}`)
  }
  if (error.code === 'INTERNAL') reportBug(thrown, output)
  return exitCodeOf(error)
}

function hintOf(error: PontoonError): string | undefined {
  return sqlHints[sqlstateOf(error) ?? ''] ?? hints[error.code]
}

function sqlstateOf(error: PontoonError): string | undefined {
  if (error instanceof VerbatimError) return error.sqlstate
  // From the words: errors of helper processes come as text.
  return error.code === 'SQL_FAILED' ? /\(SQLSTATE (\w{5})\)/.exec(error.message)?.[1] : undefined
}

export function exitCodeOf(error: PontoonError): ExitCode {
  switch (error.code) {
    case 'USAGE':
      return exitCodes.usage
    case 'ROUTE_REFUSED':
    case 'GATE_REFUSED':
    case 'EPOCH_STALE':
    case 'MIGRATION_REFUSED':
      return exitCodes.refused
    case 'ABORTED':
      return exitCodes.abortedSafely
    default:
      return exitCodes.failed
  }
}

/** Messages may quote a server or a file; only line breaks of ours survive. */
function wordsOf(error: PontoonError): string {
  const lines = error.message.split('\n').map(printable)
  return error.code === 'USAGE' ? lines.join('\n') : `${lines.join('\n')} [${error.code}]`
}

function reportBug(thrown: unknown, output: Output): void {
  output.error('  This is a bug in Pontoon. Please report it with these lines:')
  const cause = thrown instanceof Error && !(thrown instanceof BugError) ? thrown.cause : undefined
  for (const one of [thrown, cause]) {
    if (one instanceof Error) output.error(one.stack ?? one.message)
  }
}
