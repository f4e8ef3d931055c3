/**
 * The commands of a service as the relays see them: what the server told of each
 * (routing/redis/command-facts.ts), how a session handles it, and what it has cost so far.
 */
import { clusterRoleOf, type ClusterRole } from './cluster-role.ts'
import {
  commandFamilies,
  unknownCommand,
  type CommandFacts,
  type CommandFamily,
} from '../../routing/redis/command-facts.ts'
import { mayBlock } from '../../routing/redis/command-keys.ts'
import type { Arguments } from '../../routing/redis/command-keys.ts'
import { knownCommandTable, type CommandTable } from '../../routing/redis/command-table.ts'
import { NameTable } from '../../routing/redis/name-table.ts'
import { ArgumentPositions } from '../../wire/redis/argument-positions.ts'
import { BucketHistogram } from '../../shared/histogram.ts'

/**
 * shared: one of many on a server. own: needs a server of its own for the time of its reply.
 * transaction: begins or ends a state of its server that the session tracks. stream: turns its
 * server into one that speaks unasked. session: about the connection of the client. unknown: may
 * leave anything behind.
 */
export const enum Handling {
  Shared,
  Own,
  Transaction,
  Stream,
  Session,
  Unknown,
}

/** What a session follows beyond a single reply; everything else leaves nothing behind. */
const handlingByName: Readonly<Record<string, Handling>> = {
  multi: Handling.Transaction,
  exec: Handling.Transaction,
  discard: Handling.Transaction,
  watch: Handling.Transaction,
  unwatch: Handling.Transaction,
  subscribe: Handling.Stream,
  psubscribe: Handling.Stream,
  ssubscribe: Handling.Stream,
  unsubscribe: Handling.Stream,
  punsubscribe: Handling.Stream,
  sunsubscribe: Handling.Stream,
  monitor: Handling.Stream,
  sync: Handling.Stream,
  psync: Handling.Stream,
  replconf: Handling.Stream,
  'client|reply': Handling.Stream,
  'client|tracking': Handling.Stream,
  'client|caching': Handling.Stream,
  'client|no-evict': Handling.Stream,
  'client|no-touch': Handling.Stream,
  'client|trackinginfo': Handling.Stream,
  'client|getredir': Handling.Stream,
  'script|debug': Handling.Stream,
  asking: Handling.Stream,
  readonly: Handling.Stream,
  readwrite: Handling.Stream,
  reset: Handling.Session,
  quit: Handling.Session,
  // They act on all clients of the server, not on the connection.
  'client|pause': Handling.Shared,
  'client|unpause': Handling.Shared,
}

export class CommandRecord {
  readonly facts: CommandFacts
  readonly name: string
  readonly handling: Handling
  readonly isRead: boolean
  /** What it may do to data decides whether a read may be served elsewhere afterwards. */
  readonly isWrite: boolean
  readonly clusterRole: ClusterRole
  readonly latency: BucketHistogram
  readonly subcommands: NameTable<CommandRecord> | undefined
  calls = 0
  errors = 0

  constructor(facts: CommandFacts, families: Families) {
    this.facts = facts
    this.name = facts.name
    this.handling = handlingOf(facts)
    this.isRead = facts.effect === 'read' && this.handling === Handling.Shared
    this.clusterRole = clusterRoleOf(facts.name)
    this.isWrite = facts.effect === 'write'
    this.latency = families.of(facts.family)
    const children = facts.subcommands?.values() ?? []
    this.subcommands =
      facts.subcommands === undefined
        ? undefined
        : new NameTable(
            new Map(
              children.map((child) => [
                child.name.slice(child.name.indexOf('|') + 1),
                new CommandRecord(child, families),
              ]),
            ),
          )
  }
}

/** How long commands took, by family. */
export class Families {
  readonly #histograms = new Map(commandFamilies.map((name) => [name, new BucketHistogram()]))
  readonly #other = new BucketHistogram()

  of(family: CommandFamily): BucketHistogram {
    return this.#histograms.get(family) ?? this.#other
  }

  entries(): Iterable<[CommandFamily, BucketHistogram]> {
    return this.#histograms.entries()
  }
}

export class CommandBook {
  readonly families = new Families()
  readonly unknown: CommandRecord
  #table: NameTable<CommandRecord>
  readonly #positions = new ArgumentPositions()

  constructor() {
    this.unknown = new CommandRecord(unknownCommand, this.families)
    this.#table = this.#tableOf(knownCommandTable())
  }

  find(bytes: Buffer, start: number, end: number): CommandRecord {
    return this.#table.find(bytes, start, end) ?? this.unknown
  }

  /** One that could block and does not, as XREAD without BLOCK: it needs no server of its own. */
  isHarmless(record: CommandRecord, bytes: Buffer, start: number, end: number): boolean {
    if (record.handling !== Handling.Own || !record.facts.blocking) return false
    this.#positions.read(bytes, start, end)
    return !mayBlock(record.facts, this.#positions)
  }

  recordOf({ bytes, starts, ends, count }: Arguments): CommandRecord {
    const record = this.#table.find(bytes, starts[0] ?? 0, ends[0] ?? 0)
    if (record?.subcommands === undefined || count < 2) return record ?? this.unknown
    return record.subcommands.find(bytes, starts[1] ?? 0, ends[1] ?? 0) ?? this.unknown
  }

  /** Takes what the primary has told at a connect; the counters stay. */
  learn(table: CommandTable): void {
    const before = this.records()
    this.#table = this.#tableOf(table)
    const known = new Map(this.records().map((record) => [record.name, record]))
    for (const { name, calls, errors } of before) {
      const record = known.get(name)
      if (record === undefined) continue
      record.calls = calls
      record.errors = errors
    }
  }

  /** Every command and subcommand. */
  records(): CommandRecord[] {
    return [...this.#table.values(), this.unknown].flatMap((record) => [
      record,
      ...(record.subcommands?.values() ?? []),
    ])
  }

  #tableOf(table: CommandTable): NameTable<CommandRecord> {
    return new NameTable(
      new Map(table.values().map((facts) => [facts.name, new CommandRecord(facts, this.families)])),
    )
  }
}

function handlingOf(facts: CommandFacts): Handling {
  const byName = Object.hasOwn(handlingByName, facts.name) ? handlingByName[facts.name] : undefined
  if (byName !== undefined) return byName
  if (facts === unknownCommand) return Handling.Unknown
  if (facts.sharing === 'shared') return Handling.Shared
  return facts.sharing === 'own' ? Handling.Own : Handling.Session
}
