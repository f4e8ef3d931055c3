/**
 * Reads a server's reply to COMMAND, as nested arrays from whatever parser, RESP2 or RESP3. An entry
 * that makes no sense is left out, and its command then counts as unknown, which is the careful
 * side. Neighbours: command-facts.ts (what it becomes), command-table.ts (who asks).
 */
import type { KeyAccess, KeySpec, ToldFacts } from './command-facts.ts'
import { nameBytesMax } from './name-table.ts'

/** Redis has 240 commands, with all modules about 500; more than this is no honest reply. */
const commandsMax = 4_096

export function readCommandReply(reply: unknown): ToldFacts[] {
  return list(reply)
    .slice(0, commandsMax)
    .flatMap((entry) => {
      const facts = readEntry(entry)
      return facts === undefined ? [] : [facts]
    })
}

/** [name, arity, flags, first, last, step, categories, tips, key specs, subcommands] */
function readEntry(entry: unknown): ToldFacts | undefined {
  const fields = list(entry)
  const name = text(fields[0])?.toLowerCase()
  const [arity, firstKey, lastKey, keyStep] = [fields[1], fields[3], fields[4], fields[5]].map(
    whole,
  )
  if (name === undefined || name === '' || name.length > nameBytesMax) return undefined
  if (arity === undefined || firstKey === undefined) return undefined
  if (lastKey === undefined || keyStep === undefined) return undefined
  return {
    name,
    arity,
    flags: words(fields[2]),
    categories: words(fields[6]),
    firstKey,
    lastKey,
    keyStep,
    tips: words(fields[7]),
    keySpecs: fields.length > 8 ? list(fields[8]).map(readKeySpec) : undefined,
    subcommands: readCommandReply(fields[9]),
  }
}

const unreadableSpec: KeySpec = {
  access: 'write',
  incomplete: true,
  begin: { kind: 'unknown' },
  find: { kind: 'unknown' },
}

function readKeySpec(value: unknown): KeySpec {
  const begin = readBegin(field(value, 'begin_search'))
  const find = readFind(field(value, 'find_keys'))
  if (begin === undefined || find === undefined) return unreadableSpec
  const flags = words(field(value, 'flags'))
  return { access: accessOf(flags), incomplete: flags.has('incomplete'), begin, find }
}

function accessOf(flags: ReadonlySet<string>): KeyAccess {
  if (flags.has('not_key')) return 'channel'
  return flags.has('ro') ? 'read' : 'write'
}

function readBegin(value: unknown): KeySpec['begin'] | undefined {
  const spec = field(value, 'spec')
  switch (text(field(value, 'type'))) {
    case 'index': {
      const index = whole(field(spec, 'index'))
      return index === undefined ? undefined : { kind: 'index', index }
    }
    case 'keyword': {
      const keyword = text(field(spec, 'keyword'))
      const from = whole(field(spec, 'startfrom'))
      if (keyword === undefined || from === undefined) return undefined
      return { kind: 'keyword', keyword: Buffer.from(keyword.toLowerCase(), 'latin1'), from }
    }
    default:
      return { kind: 'unknown' }
  }
}

function readFind(value: unknown): KeySpec['find'] | undefined {
  const spec = field(value, 'spec')
  const told = whole(field(spec, 'keystep'))
  // A step of nothing would never come to an end.
  const step = told !== undefined && told > 0 ? told : undefined
  switch (text(field(value, 'type'))) {
    case 'range': {
      const [last, limit] = [whole(field(spec, 'lastkey')), whole(field(spec, 'limit'))]
      if (last === undefined || limit === undefined || step === undefined) return undefined
      return { kind: 'range', last, step, limit }
    }
    case 'keynum': {
      const [countAt, first] = [whole(field(spec, 'keynumidx')), whole(field(spec, 'firstkey'))]
      if (countAt === undefined || first === undefined || step === undefined) return undefined
      return { kind: 'count', countAt, first, step }
    }
    default:
      return { kind: 'unknown' }
  }
}

/** Of a RESP3 map, or of RESP2's flat list of names and values. */
function field(value: unknown, name: string): unknown {
  if (value instanceof Map) {
    for (const [key, found] of value) if (text(key) === name) return found
    return undefined
  }
  const items = list(value)
  for (let at = 0; at + 1 < items.length; at += 2)
    if (text(items[at]) === name) return items[at + 1]
  return undefined
}

/** In lower case and without the `@` of categories. */
function words(value: unknown): ReadonlySet<string> {
  return new Set(
    list(value).flatMap((item) => {
      const word = text(item)
      return word === undefined ? [] : [word.toLowerCase().replace(/^@/, '')]
    }),
  )
}

function list(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  return value instanceof Set ? [...value] : []
}

function text(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return Buffer.isBuffer(value) ? value.toString('latin1') : undefined
}

function whole(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}
