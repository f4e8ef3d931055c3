/**
 * What a Redis server answers to one client who alone writes its keys, written apart from the
 * product: each acknowledged write must be there exactly once. Neighbour: redis-model-client.ts.
 */
import { RespError, RespPush } from './resp.ts'
import type { RespValue } from './resp.ts'

export type ModelValue = string | readonly string[] | ReadonlyMap<string, string>

/** A pattern for an error, undefined for no reply at all. */
export type Expected = RespValue | RegExp | undefined

const wrongType = /^WRONGTYPE/
const wrongCount = /wrong number of arguments/

/** Refused by these words, nothing was done: where slots move, transactions have to live with it. */
const passing = /^(?:TRYAGAIN|CROSSSLOT|EXECABORT)/

export class RedisModel {
  readonly data: Map<string, ModelValue>
  version = 2
  #queue: (readonly string[])[] | null = null
  #isBroken = false
  readonly #watched = new Set<string>()
  /** A watched key was written. */
  #isMissed = false
  #replies: 'on' | 'skip' = 'on'

  constructor(data: ReadonlyMap<string, ModelValue> = new Map()) {
    this.data = new Map(data)
  }

  /** Its data as they are, by text: equal ones are the same. */
  textOf(key: string): string {
    return textOfValue(this.data.get(key))
  }

  get isInMulti(): boolean {
    return this.#queue !== null
  }

  /** A copy that goes on alone. */
  fork(): RedisModel {
    const copy = new RedisModel(this.data)
    copy.version = this.version
    copy.#queue = this.#queue === null ? null : [...this.#queue]
    copy.#isBroken = this.#isBroken
    for (const key of this.#watched) copy.#watched.add(key)
    copy.#isMissed = this.#isMissed
    copy.#replies = this.#replies
    return copy
  }

  /** Whether it has a reply, which must be known before that has come. */
  static hasReply(words: readonly string[], before: readonly string[] | undefined): boolean {
    return !isSkip(words) && !isSkip(before)
  }

  /** Where slots move a transaction may be refused: the reply says so, and nothing was done. */
  refusedBy(words: readonly string[], reply: RespValue | undefined): boolean {
    const isError = reply instanceof RespError && passing.test(reply.message)
    const isMissed = words[0] === 'EXEC' && reply === null && this.#watched.size > 0
    const isWatch = words[0] === 'WATCH'
    if (!(isError || isMissed) || (this.#queue === null && !isWatch)) return false
    if (words[0] === 'EXEC' || words[0] === 'DISCARD') this.#end()
    else this.#isBroken ||= this.#queue !== null
    return true
  }

  run(words: readonly string[]): Expected {
    const isSilent = this.#replies === 'skip'
    this.#replies = 'on'
    const expected = this.#command(words)
    return isSilent ? undefined : expected
  }

  #command(words: readonly string[]): Expected {
    const [name = '', ...args] = words
    if (this.#isMiscounted(name, args)) return this.#miscounted(name)
    switch (name) {
      case 'MULTI':
        if (this.#queue !== null) return /^ERR MULTI calls can not be nested/
        this.#queue = []
        return 'OK'
      case 'EXEC':
        return this.#exec()
      case 'DISCARD':
        if (this.#queue === null) return /^ERR DISCARD without MULTI/
        this.#end()
        return 'OK'
      case 'WATCH':
        if (this.#queue !== null) return /^ERR WATCH inside MULTI/
        for (const key of args) this.#watched.add(key)
        return 'OK'
      case 'UNWATCH':
        if (this.#queue === null) this.#end()
        break
      default:
    }
    if (this.#queue !== null) {
      this.#queue.push(words)
      return 'QUEUED'
    }
    return this.#outside(name, args)
  }

  #isMiscounted(name: string, args: readonly string[]): boolean {
    if (/^(?:MULTI|EXEC|DISCARD)$/.test(name)) return args.length > 0
    return name === 'GET' && args.length !== 1
  }

  #miscounted(name: string): RegExp {
    if (this.#queue === null) return wrongCount
    if (name === 'EXEC') {
      this.#end()
      return /^EXECABORT/
    }
    this.#isBroken = true
    return wrongCount
  }

  #exec(): Expected {
    const queue = this.#queue
    if (queue === null) return /^ERR EXEC without MULTI/
    const isBroken = this.#isBroken
    const isMissed = this.#isMissed
    this.#end()
    if (isBroken) return /^EXECABORT/
    if (isMissed) return null
    const items = queue.map(([name = '', ...args]) => {
      const item = this.#outside(name, args)
      return item instanceof RegExp ? new RespError(item.source) : (item ?? null)
    })
    return items
  }

  #end(): void {
    this.#queue = null
    this.#isBroken = false
    this.#watched.clear()
    this.#isMissed = false
  }

  #write(key: string, value: ModelValue | undefined): boolean {
    this.#isMissed ||= this.#watched.has(key)
    if (value === undefined) return this.data.delete(key)
    this.data.set(key, value)
    return true
  }

  #outside(name: string, args: readonly string[]): Expected {
    const [key = '', value = '', third = ''] = args
    switch (name) {
      case 'PING':
        return 'PONG'
      case 'ECHO':
        return key
      case 'UNWATCH':
        return 'OK'
      case 'CLIENT':
        this.#replies = 'skip'
        return undefined
      case 'HELLO':
        this.version = Number(key)
        return /^hello/
      case 'SUBSCRIBE':
        return this.#message(['subscribe', key, 1])
      case 'UNSUBSCRIBE':
        return this.#message(['unsubscribe', key, 0])
      case 'MSET':
        for (let at = 0; at < args.length; at += 2) this.#write(args[at] ?? '', args[at + 1] ?? '')
        return 'OK'
      case 'MGET':
        return args.map((each) => this.#string(each) ?? null)
      case 'DEL':
        return args.filter((each) => this.data.has(each) && this.#write(each, undefined)).length
      case 'EXISTS':
        return args.filter((each) => this.data.has(each)).length
      case 'EVAL':
        return this.#oneKey('INCR', third, '', '')
      default:
        return this.#oneKey(name, key, value, third)
    }
  }

  #message(items: RespValue[]): RespValue {
    return this.version === 3 ? new RespPush(items) : items
  }

  #oneKey(name: string, key: string, value: string, third: string): Expected {
    if (/^(?:RPUSH|LPOP|BLPOP|LRANGE|RPOPLPUSH)$/.test(name)) return this.#list(name, key, value)
    if (name.startsWith('H')) return this.#hash(name, key, value, third)
    if (name === 'SET') {
      this.#write(key, value)
      return 'OK'
    }
    if (this.data.has(key) && this.#string(key) === undefined) return wrongType
    const text = this.#string(key)
    if (name === 'GET') return text ?? null
    if (name === 'INCR') {
      const count = Number(text ?? 0) + 1
      if (!Number.isInteger(count)) return /^ERR value is not an integer/
      this.#write(key, String(count))
      return count
    }
    if (name !== 'APPEND') throw new Error(`the model knows no ${name}`)
    this.#write(key, (text ?? '') + value)
    return (text ?? '').length + value.length
  }

  #string(key: string): string | undefined {
    const value = this.data.get(key)
    return typeof value === 'string' ? value : undefined
  }

  #list(name: string, key: string, value: string): Expected {
    const list = this.data.get(key) ?? []
    if (!isList(list)) return wrongType
    if (name === 'LRANGE') return [...list]
    if (name === 'RPUSH') {
      this.#write(key, [...list, value])
      return list.length + 1
    }
    const isTail = name === 'RPOPLPUSH'
    const popped = isTail ? list.at(-1) : list[0]
    if (popped === undefined) return null
    const rest = isTail ? list.slice(0, -1) : list.slice(1)
    if (rest.length === 0) this.#write(key, undefined)
    else this.#write(key, rest)
    if (isTail) {
      const onto = this.data.get(value) ?? []
      if (!isList(onto)) throw new Error(`${value} is no list`)
      this.#write(value, [popped, ...onto])
    }
    return name === 'BLPOP' ? [key, popped] : popped
  }

  #hash(name: string, key: string, field: string, value: string): Expected {
    const hash = this.data.get(key) ?? new Map<string, string>()
    if (typeof hash === 'string' || isList(hash)) return wrongType
    if (name === 'HGETALL') return this.version === 3 ? new Map(hash) : [...hash].flat()
    this.#write(key, new Map(hash).set(field, value))
    return hash.has(field) ? 0 : 1
  }
}

function isSkip(line: readonly string[] | undefined): boolean {
  return line !== undefined && line[0] === 'CLIENT' && line[2] === 'SKIP'
}

function isList(value: ModelValue): value is readonly string[] {
  return Array.isArray(value)
}

export function textOfValue(value: ModelValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return `string ${value}`
  return isList(value)
    ? `list ${JSON.stringify(value)}`
    : `hash ${JSON.stringify([...value.keys()].toSorted((a, b) => (a < b ? -1 : 1)).map((field) => [field, value.get(field)]))}`
}

/** Null when it is as expected, else what it is. */
export function differenceOf(expected: Expected, reply: RespValue): string | null {
  const is = JSON.stringify(plain(reply))
  if (expected instanceof RegExp) {
    if (expected.source === '^hello') return is.includes('proto') ? null : is
    return reply instanceof RespError && expected.test(reply.message) ? null : is
  }
  if (Array.isArray(expected) && Array.isArray(reply) && expected.length === reply.length) {
    for (const [index, item] of expected.entries()) {
      const given = reply[index] ?? null
      const difference =
        item instanceof RespError
          ? differenceOf(new RegExp(item.message), given)
          : differenceOf(item, given)
      if (difference !== null) return is
    }
    return null
  }
  return is === JSON.stringify(plain(expected ?? null)) ? null : is
}

function plain(value: RespValue): unknown {
  if (value instanceof Map)
    return { map: [...value].map(([key, item]) => [plain(key), plain(item)]) }
  if (value instanceof RespPush) return { push: value.items.map(plain) }
  if (value instanceof RespError) return { error: value.message }
  if (value instanceof Set) return { set: [...value].map(plain) }
  return Array.isArray(value) ? value.map(plain) : value
}
