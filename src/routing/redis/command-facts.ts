/**
 * What is known of one Redis command: its flags, where its keys stand, and what follows from that
 * for us. The facts are the server's own, from its reply to COMMAND; the rules below only read them.
 * Neighbours: command-reply.ts and known-facts.ts (where facts come from), command-table.ts (finding
 * them by name), command-keys.ts (finding the keys of a request).
 * https://redis.io/docs/latest/commands/command/
 */
import type { NameTable } from './name-table.ts'

/** Kinds of commands for metrics: the data type they work on, or the part of the server. */
export const commandFamilies = [
  'string',
  'hash',
  'list',
  'set',
  'sortedset',
  'stream',
  'bitmap',
  'hyperloglog',
  'geo',
  'keyspace',
  'pubsub',
  'transaction',
  'scripting',
  'connection',
  'server',
  'other',
] as const

export type CommandFamily = (typeof commandFamilies)[number]

/**
 * `read` changes nothing and may run on another side; `write` may change data, so it needs the
 * primary; `none` touches no data, but its answer is that of the server it runs on.
 */
export type CommandEffect = 'read' | 'write' | 'none'

/**
 * `shared`: leaves no trace on its connection, so it may run on a server that many clients share.
 * `own`: needs a server that no one else uses for as long as its trace lasts.
 * `session`: is about the client's connection itself, so Pontoon answers it or keeps track of it.
 */
export type CommandSharing = 'shared' | 'own' | 'session'

/** `channel` is hashed to a slot like a key and is none. */
export type KeyAccess = 'read' | 'write' | 'channel'

export interface KeySpec {
  readonly access: KeyAccess
  /** The server says that it does not find all keys this way. */
  readonly incomplete: boolean
  readonly begin:
    | { readonly kind: 'index'; readonly index: number }
    /** `keyword` in lower case; a negative `from` counts from the end and searches backwards. */
    | { readonly kind: 'keyword'; readonly keyword: Buffer; readonly from: number }
    | { readonly kind: 'unknown' }
  readonly find:
    | {
        readonly kind: 'range'
        readonly last: number
        readonly step: number
        readonly limit: number
      }
    | {
        readonly kind: 'count'
        readonly countAt: number
        readonly first: number
        readonly step: number
      }
    | { readonly kind: 'unknown' }
}

/** As the server tells it. */
export interface ToldFacts {
  /** In lower case; of a subcommand `container|name`. */
  readonly name: string
  /** Arguments with the name; negative: at least so many. */
  readonly arity: number
  readonly flags: ReadonlySet<string>
  /** Without the `@`. Empty for servers before 6.0. */
  readonly categories: ReadonlySet<string>
  readonly firstKey: number
  readonly lastKey: number
  readonly keyStep: number
  /** Such as `request_policy:all_shards`. Empty for servers before 7.0. */
  readonly tips: ReadonlySet<string>
  /** Undefined for servers before 7.0, which do not tell them. */
  readonly keySpecs: readonly KeySpec[] | undefined
  readonly subcommands: readonly ToldFacts[]
}

/** `one`: a single node. `keys`: split by the slots of its keys. `all`: every primary. */
export type Spread = 'one' | 'keys' | 'all'

/** `join`: the items of all, in the order of keys or of nodes. `same`: all must have succeeded. */
export type Merge = 'join' | 'sum' | 'same' | 'least' | 'any'

export interface CommandFacts {
  readonly name: string
  readonly arity: number
  readonly effect: CommandEffect
  readonly sharing: CommandSharing
  readonly family: CommandFamily
  /** May wait on the server; command-keys.ts tells whether a request really asks for it. */
  readonly blocking: boolean
  /** Not to be part of a MULTI. */
  readonly noMulti: boolean
  readonly admin: boolean
  /** Where the only key stands, when there is exactly one and always there; otherwise 0. */
  readonly onlyKeyAt: number
  readonly keySpecs: readonly KeySpec[]
  /** For a cluster: to which nodes a request goes, and what becomes of several replies. */
  readonly spread: Spread
  readonly merge: Merge
  /** Its keys are computed while it runs, or the server does not say where they are. */
  readonly hiddenKeys: boolean
  /** For a container such as CONFIG: its subcommands by name. */
  readonly subcommands: NameTable<CommandFacts> | undefined
}

/** What stands for every command that nobody told us about: the most careful assumption. */
export const unknownCommand: CommandFacts = {
  name: 'unknown',
  arity: -1,
  effect: 'write',
  sharing: 'own',
  family: 'other',
  blocking: true,
  noMulti: false,
  admin: false,
  onlyKeyAt: 0,
  keySpecs: [],
  spread: 'one',
  merge: 'join',
  hiddenKeys: true,
  subcommands: undefined,
}

/** With `count` words, its name among them, the server refuses it, whatever it says. */
export function isMiscounted({ arity }: CommandFacts, count: number): boolean {
  return arity > 0 ? count !== arity : count < -arity
}

/** In the category `connection` and yet without a trace on it. */
const tracelessConnectionCommands = /^(?:ping|echo|command)(?:\||$)/

export function effectOf(told: ToldFacts): CommandEffect {
  const { flags, categories } = told
  if (flags.has('write')) return 'write'
  if (flags.has('readonly')) return 'read'
  // A script declares keys and may write any of them; a published message must reach the primary.
  const publishes = flags.has('pubsub') && !flags.has('noscript') && told.arity === 3
  if (categories.has('scripting') || flags.has('movablekeys') || publishes) return 'write'
  return mayChangeKeys(told) ? 'write' : 'none'
}

export function sharingOf(told: ToldFacts): CommandSharing {
  const { flags, categories, name } = told
  // WAIT counts the replicas that have what this very connection wrote.
  if (name === 'wait' || name === 'waitaof') return 'own'
  if (categories.has('connection') && !tracelessConnectionCommands.test(name)) return 'session'
  if (flags.has('blocking') || flags.has('admin') || categories.has('transaction')) return 'own'
  // SCRIPT DEBUG turns the connection into a debugger's.
  if (name === 'script|debug') return 'own'
  // Not allowed in scripts: what changes the state of a connection, scripts themselves aside.
  return flags.has('noscript') && !categories.has('scripting') ? 'own' : 'shared'
}

/** https://redis.io/docs/latest/develop/reference/command-tips/ */
export function spreadOf({ name, tips }: ToldFacts): Spread {
  // INFO and the like have no meaning as a sum, and one PONG is as good as three.
  if (name === 'ping' || tips.has('response_policy:special')) return 'one'
  if (tips.has('request_policy:multi_shard')) return 'keys'
  const toAll = tips.has('request_policy:all_shards') || tips.has('request_policy:all_nodes')
  return toAll ? 'all' : 'one'
}

const merges: Readonly<Record<string, Merge>> = {
  agg_sum: 'sum',
  all_succeeded: 'same',
  agg_min: 'least',
  agg_logical_and: 'least',
  one_succeeded: 'any',
}

export function mergeOf({ tips }: ToldFacts): Merge {
  for (const tip of tips) {
    const policy = /^response_policy:(.+)$/.exec(tip)?.[1]
    if (policy !== undefined) return merges[policy] ?? 'any'
  }
  return 'join'
}

/** The first category that fits, in the order in which they say most. */
export function familyOf(told: ToldFacts): CommandFamily {
  const { categories } = told
  const found = commandFamilies.find((family) => categories.has(family))
  if (found !== undefined) return found
  return categories.size > 0 ? 'server' : 'other'
}

function mayChangeKeys(told: ToldFacts): boolean {
  if (told.keySpecs === undefined) return told.firstKey > 0
  return told.keySpecs.some((spec) => spec.access === 'write')
}
