/**
 * All commands of one server, found by the bytes of their names. Made anew at each connect from the
 * server's own reply; where it tells less than a Redis 7, known-facts.ts fills the gaps. What
 * nobody knows is `unknownCommand`: a write, on a server of its own, to the primary.
 */
import {
  effectOf,
  familyOf,
  mergeOf,
  sharingOf,
  spreadOf,
  unknownCommand,
  type CommandEffect,
  type CommandFacts,
  type KeySpec,
  type ToldFacts,
} from './command-facts.ts'
import type { Arguments } from './command-keys.ts'
import { readCommandReply } from './command-reply.ts'
import { knownCommands } from './known-facts.ts'
import { NameTable } from './name-table.ts'

export type CommandTable = NameTable<CommandFacts>

/** For a server that does not answer COMMAND. */
export function knownCommandTable(): CommandTable {
  return tableOf([...knownCommands().values()])
}

/** From the reply to COMMAND as parsed. Nothing useful in it: the table of what is known anyway. */
export function commandTable(reply: unknown): CommandTable {
  const told = readCommandReply(reply)
  if (told.length === 0) return knownCommandTable()
  const known = knownCommands()
  return tableOf(told.map((facts) => completed(facts, known.get(facts.name))))
}

/**
 * The facts of a request, its subcommand's when it names a container.
 */
export function factsOf(
  table: CommandTable,
  { bytes, starts, ends, count }: Arguments,
): CommandFacts {
  const facts = table.find(bytes, starts[0] ?? 0, ends[0] ?? 0)
  if (facts === undefined) return unknownCommand
  if (facts.subcommands === undefined || count < 2) return facts
  return facts.subcommands.find(bytes, starts[1] ?? 0, ends[1] ?? 0) ?? unknownCommand
}

/** What an older server leaves out. Its flags are its own. */
function completed(told: ToldFacts, known: ToldFacts | undefined): ToldFacts {
  if (known === undefined) return told
  const subcommands = told.subcommands.length === 0 ? known.subcommands : told.subcommands
  return {
    ...told,
    categories: told.categories.size === 0 ? known.categories : told.categories,
    keySpecs: told.keySpecs ?? known.keySpecs,
    tips: told.keySpecs === undefined ? known.tips : told.tips,
    subcommands: told.keySpecs === undefined ? known.subcommands : subcommands,
  }
}

function tableOf(told: readonly ToldFacts[]): CommandTable {
  return new NameTable(new Map(told.map((facts) => [facts.name, factsFrom(facts)])))
}

function factsFrom(told: ToldFacts): CommandFacts {
  const effect = effectOf(told)
  const keySpecs = writing(effect, told.keySpecs ?? simpleSpec(told))
  const children = told.subcommands.map(
    (child) => [child.name.slice(child.name.indexOf('|') + 1), factsFrom(child)] as const,
  )
  return {
    name: told.name,
    arity: told.arity,
    effect,
    sharing: sharingOf(told),
    family: familyOf(told),
    blocking: told.flags.has('blocking') || /^(?:wait|waitaof)$/.test(told.name),
    noMulti: told.flags.has('no_multi'),
    admin: told.flags.has('admin'),
    onlyKeyAt: onlyKeyAt(keySpecs),
    keySpecs,
    spread: spreadOf(told),
    merge: mergeOf(told),
    hiddenKeys: hasHiddenKeys(told, keySpecs),
    subcommands: children.length === 0 ? undefined : new NameTable(new Map(children)),
  }
}

/** XREADGROUP changes a key that its spec calls read: whatever a write names counts as written. */
function writing(effect: CommandEffect, specs: readonly KeySpec[]): readonly KeySpec[] {
  const named = specs.filter(({ access }) => access !== 'channel')
  if (effect !== 'write' || named.some(({ access }) => access === 'write')) return specs
  return specs.map((spec) => (spec.access === 'read' ? { ...spec, access: 'write' } : spec))
}

/** From first, last and step alone, which is all that old servers tell. */
function simpleSpec(told: ToldFacts): readonly KeySpec[] {
  if (told.firstKey <= 0) return []
  const last = told.lastKey < 0 ? told.lastKey : told.lastKey - told.firstKey
  return [
    {
      access: told.flags.has('readonly') ? 'read' : 'write',
      incomplete: told.flags.has('movablekeys'),
      begin: { kind: 'index', index: told.firstKey },
      find: { kind: 'range', last, step: Math.max(1, told.keyStep), limit: 0 },
    },
  ]
}

function onlyKeyAt(specs: readonly KeySpec[]): number {
  const [spec, another] = specs
  if (spec === undefined || another !== undefined) return 0
  if (spec.incomplete || spec.access === 'channel') return 0
  if (spec.begin.kind !== 'index' || spec.find.kind !== 'range') return 0
  return spec.find.last === 0 ? spec.begin.index : 0
}

function hasHiddenKeys(told: ToldFacts, specs: readonly KeySpec[]): boolean {
  if (told.categories.has('scripting') && told.flags.has('movablekeys')) return true
  const lacking = told.flags.has('movablekeys') && specs.length === 0
  return (
    lacking ||
    specs.some(
      ({ incomplete, begin, find }) =>
        incomplete || begin.kind === 'unknown' || find.kind === 'unknown',
    )
  )
}
