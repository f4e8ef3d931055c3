/** Help pages, made from what the commands declare; docs/cli.md is generated from the same. */
import { commonOptions } from './command.ts'
import type { Command, OptionSpec } from './command.ts'
import { padToWidth } from './display-width.ts'

export function helpOverview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2
  return [
    'Pontoon moves a running application from self-hosted databases to managed ones.',
    '',
    'Usage: pontoon COMMAND [arguments]',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${padToWidth(name, width)}${summary}`),
    '',
    'pontoon COMMAND --help explains one with examples. Every command takes --json.',
    'Exit codes: 0 ok, 1 failed, 2 usage, 3 refused, 4 aborted safely, 5 still pending.',
    'Environment: PONTOON_ADMIN (admin URL), PONTOON_TOKEN (admin token).',
  ].join('\n')
}

export function helpPage(command: Command): string {
  const options = Object.entries({ ...command.options, ...commonOptions })
  const rows = [
    ...command.positionals.map(({ name, help }) => [name, help] as const),
    ...options.map(([name, spec]) => [optionSyntax(name, spec), spec.help] as const),
  ]
  const width = Math.max(...rows.map(([syntax]) => syntax.length)) + 2
  return [
    `Usage: ${usageLine(command)}`,
    '',
    command.summary,
    ...(command.details === undefined ? [] : ['', command.details]),
    '',
    ...rows.map(([syntax, help]) => `  ${padToWidth(syntax, width)}${help}`),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
  ].join('\n')
}

export function usageLine(command: Command): string {
  const positionals = command.positionals.map(({ name, optional }) =>
    optional === true ? `[${name}]` : name,
  )
  const options = Object.entries(command.options).map(
    ([name, spec]) => `[${optionSyntax(name, spec)}]${spec.multiple === true ? '…' : ''}`,
  )
  return ['pontoon', command.name, ...positionals, ...options].join(' ')
}

function optionSyntax(name: string, spec: OptionSpec): string {
  return spec.value === undefined ? `--${name}` : `--${name} ${spec.value}`
}
