/**
 * The facts of commands that a server does not tell: servers before 7.0 leave out key specs, those
 * before 6.0 categories too, and some users may not run COMMAND at all. The text in
 * known-commands.ts is a Redis 7.0's reply to COMMAND; what came later is taken from
 * @ioredis/commands, which has flags and simple key positions only.
 */
import { getKeyIndexes, hasFlag, list } from '@ioredis/commands'
import type { KeyAccess, KeySpec, ToldFacts } from './command-facts.ts'
import { knownCommandLines } from './known-commands.ts'

/** Every known command, by its name in lower case. */
export function knownCommands(): Map<string, ToldFacts> {
  const known = new Map<string, ToldFacts>()
  for (const name of list) known.set(name, fromIoredis(name))
  for (const facts of parseKnownCommands(knownCommandLines)) known.set(facts.name, facts)
  return known
}

const flagsOfUse = [
  'write',
  'readonly',
  'admin',
  'blocking',
  'movablekeys',
  'noscript',
  'pubsub',
  'script_runner',
] as const

/** The package tells no arity and no subcommands, and keys only for given arguments. */
function fromIoredis(name: string): ToldFacts {
  const flags = new Set(flagsOfUse.filter((flag) => hasFlag(name, flag)))
  const keys = flags.has('movablekeys') ? [] : getKeyIndexes(name, fillers(8))
  const [first, second] = keys
  const last = keys.at(-1) ?? -1
  // Where the last key moves with the number of arguments, it is counted from their end.
  const moves = getKeyIndexes(name, fillers(10)).at(-1) !== last
  return {
    name,
    arity: -1,
    flags,
    categories: new Set(flags.has('script_runner') ? ['scripting'] : []),
    firstKey: first === undefined ? 0 : first + 1,
    lastKey: moves ? last - 8 : last + 1,
    keyStep: first === undefined || second === undefined ? 1 : second - first,
    tips: new Set(),
    keySpecs: undefined,
    subcommands: [],
  }
}

function fillers(count: number): string[] {
  return Array.from({ length: count }, () => '1')
}

/** Lines of: name arity flags first,last,step categories tips specs; a subcommand's name has a `|`. */
export function parseKnownCommands(lines: string): ToldFacts[] {
  const parsed = lines.trim().split('\n').map(parseLine)
  return parsed
    .filter(({ name }) => !name.includes('|'))
    .map((facts) => ({
      ...facts,
      subcommands: parsed.filter(({ name }) => name.startsWith(`${facts.name}|`)),
    }))
}

function parseLine(line: string): ToldFacts {
  const [name = '', arity, flags = '-', keys = '', categories = '-', tips = '-', ...specs] =
    line.split(' ')
  const [firstKey = 0, lastKey = 0, keyStep = 0] = keys.split(',').map(Number)
  return {
    name,
    arity: Number(arity),
    flags: wordsOf(flags),
    categories: wordsOf(categories),
    firstKey,
    lastKey,
    keyStep,
    tips: wordsOf(tips),
    keySpecs: specs.map(parseSpec),
    subcommands: [],
  }
}

/** The reverse of parseKnownCommands, for the script that writes known-commands.ts. */
export function knownCommandLine(facts: ToldFacts): string {
  const keys = `${facts.firstKey},${facts.lastKey},${facts.keyStep}`
  const fields = [
    facts.name,
    facts.arity,
    joined(facts.flags),
    keys,
    joined(facts.categories),
    joined(facts.tips),
  ]
  return [...fields, ...(facts.keySpecs ?? []).map(specText)].join(' ')
}

const accessLetters: Readonly<Record<KeyAccess, string>> = { read: 'r', write: 'w', channel: 'c' }

function specText({ access, incomplete, begin, find }: KeySpec): string {
  const start =
    begin.kind === 'index'
      ? begin.index
      : begin.kind === 'keyword'
        ? `${begin.keyword.toString('latin1')}@${begin.from}`
        : '?'
  const rest =
    find.kind === 'range'
      ? `range,${find.last},${find.step},${find.limit}`
      : find.kind === 'count'
        ? `count,${find.countAt},${find.first},${find.step}`
        : '?'
  return `${accessLetters[access]}${incomplete ? '!' : ''}:${start}:${rest}`
}

function parseSpec(spec: string): KeySpec {
  const [access = '', start = '?', rest = '?'] = spec.split(':')
  const [keyword = '', from] = start.split('@')
  const [kind, a = 0, b = 0, c = 0] = rest
    .split(',')
    .map((part, at) => (at === 0 ? part : Number(part)))
  const [first, second, third] = [Number(a), Number(b), Number(c)]
  return {
    access: access.startsWith('r') ? 'read' : access.startsWith('c') ? 'channel' : 'write',
    incomplete: access.endsWith('!'),
    begin:
      start === '?'
        ? { kind: 'unknown' }
        : from === undefined
          ? { kind: 'index', index: Number(start) }
          : { kind: 'keyword', keyword: Buffer.from(keyword, 'latin1'), from: Number(from) },
    find:
      kind === 'range'
        ? { kind: 'range', last: first, step: second, limit: third }
        : kind === 'count'
          ? { kind: 'count', countAt: first, first: second, step: third }
          : { kind: 'unknown' },
  }
}

function wordsOf(field: string): ReadonlySet<string> {
  return new Set(field === '-' ? [] : field.split(','))
}

function joined(words: ReadonlySet<string>): string {
  return words.size === 0 ? '-' : [...words].join(',')
}
