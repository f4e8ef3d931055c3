/**
 * The form of a script: raw messages to send, step by step, and what to wait for after each.
 * Neighbours: corpus.ts and corpus-*.ts, which hold the scripts; answers.ts, which plays them.
 */
import { bind, describePortal, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import type { Parameters } from '../../support/pg-frontend.ts'

export interface ScriptStep {
  readonly send: readonly Buffer[]
  /** Types to wait for, one after the other. */
  readonly until: readonly string[]
}

export interface Script {
  readonly name: string
  readonly steps: readonly ScriptStep[]
  /** What it changes for others: scripts that use the same thing run one after the other. */
  readonly uses?: string
  /** Further startup parameters. */
  readonly parameters?: Parameters
  /** The server hangs up after the last step. */
  readonly ends?: true
}

export const step = (until: string, ...send: readonly Buffer[]): ScriptStep => ({
  send,
  until: until.split(''),
})

export const simple = (sql: string): ScriptStep => step('Z', query(sql))

/** A step for each statement. */
export const simples = (...sqls: readonly string[]): ScriptStep[] => sqls.map(simple)

/** Parse, Bind, Describe, Execute, Sync of the unnamed statement and portal. */
export const batch = (sql: string, ...values: readonly string[]): readonly Buffer[] => [
  parse(sql),
  bind({ values }),
  describePortal(),
  execute(),
  sync(),
]
