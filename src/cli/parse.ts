/** Splits the arguments of one command and refuses what it does not know, naming the nearest. */
import { parseArgs } from 'node:util'
import { PontoonError } from '../shared/errors.ts'
import { commonOptions } from './command.ts'
import type { Command, OptionSpec, ParsedArgs } from './command.ts'
import { nearest } from '../config/nearest.ts'

/** Throws USAGE. */
export function parseCommandArgs(command: Command, args: readonly string[]): ParsedArgs {
  const specs = { ...command.options, ...commonOptions }
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [name, parseArgsOption(name, spec)]),
    ),
    strict: false,
    tokens: true,
    allowPositionals: true,
  })
  const given = new Map<string, string[]>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const spec = specs[token.name]
    if (spec === undefined) throw unknownOption(command, token.rawName, Object.keys(specs))
    given.set(token.name, [...(given.get(token.name) ?? []), valueOf(token, spec)])
  }
  if (!given.has('help')) checkPositionals(command, positionals)
  return {
    positionals,
    has: (option) => given.has(option),
    value: (option) => given.get(option)?.at(-1),
    values: (option) => given.get(option) ?? [],
  }
}

function parseArgsOption(
  name: string,
  spec: OptionSpec,
): { type: 'string' | 'boolean'; short?: string } {
  const type = spec.value === undefined ? 'boolean' : 'string'
  return name === 'help' ? { type, short: 'h' } : { type }
}

interface OptionToken {
  readonly rawName: string
  readonly value: string | undefined
}

function valueOf({ rawName, value }: OptionToken, spec: OptionSpec): string {
  if (spec.value === undefined) {
    if (value !== undefined) throw new PontoonError('USAGE', `${rawName} takes no value.`)
    return ''
  }
  if (value === undefined || value === '') {
    throw new PontoonError('USAGE', `${rawName} needs a value: ${rawName} ${spec.value}.`)
  }
  return value
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const missing = command.positionals.find((spec, at) => !spec.optional && given[at] === undefined)
  if (missing !== undefined) {
    throw new PontoonError('USAGE', `${command.name} needs ${missing.name}: ${missing.help}`)
  }
  const extra = given[command.positionals.length]
  if (extra !== undefined) {
    throw new PontoonError('USAGE', `${command.name} does not take the argument '${extra}'.`)
  }
}

function unknownOption(command: Command, rawName: string, known: readonly string[]): PontoonError {
  const name = rawName.replace(/^-+/, '')
  const near = nearest(name, known)
  const hint = near === undefined ? '' : ` Did you mean --${near}?`
  return new PontoonError('USAGE', `${command.name} has no option ${rawName}.${hint}`)
}
