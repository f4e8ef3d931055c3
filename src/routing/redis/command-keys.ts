/**
 * Where the keys of a request stand among its arguments, by the key specs of its command. Works on
 * the request's raw bytes and writes into a list that the caller reuses; nothing is allocated on
 * the way. Neighbours: command-facts.ts (the specs), hash-slot.ts (what keys are often for).
 * https://redis.io/docs/latest/develop/reference/key-specs/
 */
import type { CommandFacts, KeySpec } from './command-facts.ts'
import { equalsName } from './name-table.ts'

/** A request: `count` arguments, the name first, each from `starts` to before `ends` in `bytes`. */
export interface Arguments {
  readonly bytes: Uint8Array
  readonly starts: ArrayLike<number>
  readonly ends: ArrayLike<number>
  readonly count: number
}

const keysAtFirst = 16

/** Numbers of the arguments that are keys, in the order of the command's specs. */
export class KeyList {
  count = 0
  /** False when the command may touch keys that are not in the list. */
  complete = true
  #at = new Uint32Array(keysAtFirst)
  #writes = new Uint8Array(keysAtFirst)

  clear(): void {
    this.count = 0
    this.complete = true
  }

  at(index: number): number {
    return this.#at[index] ?? 0
  }

  /** Whether the command may change the key. */
  isWritten(index: number): boolean {
    return this.#writes[index] === 1
  }

  add(argument: number, isWritten: boolean): void {
    if (this.count === this.#at.length) this.#grow()
    this.#at[this.count] = argument
    this.#writes[this.count] = isWritten ? 1 : 0
    this.count += 1
  }

  #grow(): void {
    const [at, writes] = [this.#at, this.#writes]
    this.#at = new Uint32Array(at.length * 2)
    this.#writes = new Uint8Array(at.length * 2)
    this.#at.set(at)
    this.#writes.set(writes)
  }
}

/** Fills the list; `channels` also puts in what is hashed to a slot without being a key. */
export function findKeys(
  facts: CommandFacts,
  request: Arguments,
  keys: KeyList,
  channels = false,
): void {
  keys.clear()
  if (facts.onlyKeyAt > 0) {
    if (facts.onlyKeyAt < request.count)
      keys.add(facts.onlyKeyAt, facts.keySpecs[0]?.access === 'write')
    else keys.complete = false
    return
  }
  if (facts.name === 'sort' || facts.name === 'sort_ro') return findSortKeys(request, keys)
  if (facts.name === 'migrate') return findMigrateKeys(request, keys)
  keys.complete = !facts.hiddenKeys
  for (const spec of facts.keySpecs) {
    if (spec.access !== 'channel' || channels) findBySpec(spec, request, keys)
  }
}

/** Whether this request may wait on the server: XREAD and XREADGROUP do so only when told to. */
export function mayBlock(facts: CommandFacts, request: Arguments): boolean {
  if (!facts.blocking) return false
  const begin = facts.keySpecs[0]?.begin
  return begin?.kind !== 'keyword' || blockTimeAt(request) > 0
}

/**
 * Which argument of an XREAD or XREADGROUP is its time to wait, 0 for none. The options are read as
 * the server does: a group or consumer may have the name of one.
 */
export function blockTimeAt(request: Arguments): number {
  let found = 0
  for (let at = 1; at < request.count && !isWord(request, at, streams); at++) {
    if (isWord(request, at, group)) at += 2
    else if (isWord(request, at, count)) at += 1
    else if (isWord(request, at, block)) {
      at += 1
      found = at
    }
  }
  return found
}

function findBySpec(spec: KeySpec, request: Arguments, keys: KeyList): void {
  const first = beginning(spec, request)
  if (first === 0) return
  const { find } = spec
  const isWritten = spec.access === 'write'
  if (find.kind === 'range') {
    const last = lastOfRange(find, first, request.count)
    if (last < first || last >= request.count) keys.complete = false
    for (let at = first; at <= last && at < request.count; at += find.step) keys.add(at, isWritten)
  } else if (find.kind === 'count') {
    const count = wholeNumber(request, first + find.countAt)
    const from = first + find.first
    const last = from + (count - 1) * find.step
    if (count < 0 || last >= request.count) {
      keys.complete = false
      return
    }
    for (let at = from; at <= last; at += find.step) keys.add(at, isWritten)
  }
}

/** The argument where the keys, or their number, begin; 0 for nowhere. */
function beginning(spec: KeySpec, request: Arguments): number {
  const { begin } = spec
  if (begin.kind === 'index') return begin.index < request.count ? begin.index : 0
  if (begin.kind === 'unknown') return 0
  const backwards = begin.from < 0
  const step = backwards ? -1 : 1
  // Like the server, which never takes the last argument for the keyword: nothing could follow.
  let at = backwards ? request.count + begin.from : begin.from
  for (; at > 0 && at < request.count - 1; at += step) {
    if (isWord(request, at, begin.keyword)) return at + 1
  }
  return 0
}

function lastOfRange(
  find: { readonly last: number; readonly limit: number },
  first: number,
  count: number,
): number {
  if (find.last >= 0) return first + find.last
  if (find.limit === 0) return count + find.last
  return first + Math.trunc((count - first) / find.limit) + find.last
}

/** A decimal number that cannot be larger than the request is long, or -1. */
function wholeNumber({ bytes, starts, ends, count }: Arguments, at: number): number {
  const [start, end] = [starts[at] ?? 0, ends[at] ?? 0]
  if (at >= count || end === start) return -1
  let value = 0
  for (let index = start; index < end; index++) {
    const digit = (bytes[index] ?? 0) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
    if (value > count) return -1
  }
  return value
}

/** SORT key … STORE destination: the word can stand anywhere, its specs say only `unknown`. */
function findSortKeys(request: Arguments, keys: KeyList): void {
  if (request.count < 2) return
  keys.add(1, false)
  let stored = 0
  for (let at = 2; at < request.count; at++) {
    if (isWord(request, at, limit)) at += 2
    else if (isWord(request, at, get) || isWord(request, at, by)) {
      // BY and GET read keys whose names are made of what the sorted key holds.
      at += 1
      keys.complete = false
    } else if (isWord(request, at, store) && at + 1 < request.count) stored = at + 1
  }
  if (stored > 0) keys.add(stored, true)
}

/** MIGRATE host port key …, or with an empty key … KEYS key …, behind possible credentials. */
function findMigrateKeys(request: Arguments, keys: KeyList): void {
  if (request.count < 4) return
  if (request.starts[3] !== request.ends[3]) return keys.add(3, true)
  for (let at = 6; at < request.count; at++) {
    if (isWord(request, at, auth)) at += 1
    else if (isWord(request, at, auth2)) at += 2
    else if (isWord(request, at, keysWord)) {
      for (let key = at + 1; key < request.count; key++) keys.add(key, true)
      return
    }
  }
  keys.complete = false
}

const [streams, block, group, count, limit, get, by, store, auth, auth2, keysWord] = [
  Buffer.from('streams'),
  Buffer.from('block'),
  Buffer.from('group'),
  Buffer.from('count'),
  Buffer.from('limit'),
  Buffer.from('get'),
  Buffer.from('by'),
  Buffer.from('store'),
  Buffer.from('auth'),
  Buffer.from('auth2'),
  Buffer.from('keys'),
]

function isWord({ bytes, starts, ends }: Arguments, at: number, word: Buffer): boolean {
  return equalsName(bytes, starts[at] ?? 0, ends[at] ?? 0, word)
}
