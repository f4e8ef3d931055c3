/** What a command of the CLI is: its arguments as data, so that parsing, help and docs agree. */
import type { Output, Streams } from './output.ts'

/** The exit codes of every command; docs/cli.md lists them. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  abortedSafely: 4,
  pending: 5,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

export interface OptionSpec {
  /** Name of the value in the help, absent for a switch. */
  readonly value?: string
  readonly multiple?: boolean
  readonly help: string
}

export interface PositionalSpec {
  readonly name: string
  readonly optional?: boolean
  readonly help: string
}

export interface Command {
  readonly name: string
  readonly summary: string
  /** More to say in its help, whole sentences. */
  readonly details?: string
  readonly positionals: readonly PositionalSpec[]
  readonly options: Readonly<Record<string, OptionSpec>>
  readonly examples: readonly string[]
  readonly run: (input: CommandInput) => Promise<ExitCode>
}

export interface CommandInput {
  readonly args: ParsedArgs
  readonly output: Output
  readonly streams: Streams
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Arguments after parsing: every option is one that the command knows. */
export interface ParsedArgs {
  readonly positionals: readonly string[]
  /** A switch that was given. */
  has(option: string): boolean
  /** The last value given. */
  value(option: string): string | undefined
  values(option: string): readonly string[]
}

/** Options that every command has. */
export const commonOptions: Readonly<Record<string, OptionSpec>> = {
  json: { help: 'Print JSON for machines.' },
  help: { help: 'Show this help.' },
}

/** Options of commands that act on a running sidecar. */
export const adminOptions: Readonly<Record<string, OptionSpec>> = {
  admin: {
    value: 'URL',
    help: 'Admin URL of the sidecar (default http://127.0.0.1:7070, or PONTOON_ADMIN).',
  },
}

export const dryRunOption: Readonly<Record<string, OptionSpec>> = {
  'dry-run': { help: 'Say what would happen and change nothing.' },
}
