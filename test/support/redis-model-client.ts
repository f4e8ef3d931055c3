/**
 * A client at random that knows what each of its replies, and in the end each of its keys, must be:
 * nobody else writes them (redis-model.ts). It sends pipelines cut anywhere, transactions, blocking
 * pops, leaves in the middle and comes back by another name; what it had under way then was done
 * once or not at all, in order as far as it is of one slot.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { hashSlot } from '../../src/routing/redis/hash-slot.ts'
import { differenceOf, RedisModel, textOfValue, type ModelValue } from './redis-model.ts'
import type { RedisWire } from './redis-wire.ts'
import { encodeCommand, type RespValue } from './resp.ts'

export interface ModelClientOptions {
  readonly index: number
  readonly random: () => number
  /** It says CLIENT REPLY. */
  readonly mayBeSilent: boolean
  /** Slots move: transactions may be refused. */
  readonly isMoving: boolean
  open(): Promise<RedisWire>
  readonly different: (words: string) => void
}

type Words = readonly string[]

/** What of a client that has left there may be. */
export interface Left {
  readonly name: string
  /** By slot: the keys, and what they may be together. */
  readonly slots: readonly {
    readonly keys: readonly string[]
    readonly states: readonly string[]
  }[]
}

const kinds: Readonly<Record<string, number>> = { s: 6, n: 5, l: 5, h: 3 }
const tagCount = 3
const replyMs = 30_000

export class ModelClient {
  readonly #options: ModelClientOptions
  readonly left: Left[] = []
  /** How many replies were looked at. */
  replies = 0
  #generation = 0
  #made = 0
  #model = new RedisModel()
  #wire: RedisWire | undefined
  #hasSkipped = false

  constructor(options: ModelClientOptions) {
    this.#options = options
  }

  get name(): string {
    return `c${this.#options.index}.${this.#generation}`
  }

  /** All that it may have. */
  get keys(): string[] {
    const plain = Object.entries(kinds).flatMap(([kind, count]) =>
      Array.from({ length: count }, (_, index) => this.#key(kind, index)),
    )
    const tagged = Array.from({ length: tagCount }, (_, tag) =>
      ['s', 'n', 'l', 'm'].map((kind) => this.#tagged(kind, tag)),
    )
    return [...plain, ...tagged.flat()]
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const dice = this.#below(100)
      if (dice < 86) await this.#exchange(this.#batch())
      else if (dice < 92) await this.#hello()
      else if (dice < 96) await this.#leave()
      else await this.#sayGoodbye()
    }
    // Its last word is what there is.
    for (const key of this.keys) await this.#exchange([this.#read(key)])
    this.#note([])
    this.#wire?.destroy()
  }

  #read(key: string): Words {
    const kind = key.split(':')[1]?.[0] ?? ''
    if (kind === 'h') return ['HGETALL', key]
    return kind === 'l' || kind === 'm' ? ['LRANGE', key, '0', '-1'] : ['GET', key]
  }

  async #open(): Promise<RedisWire> {
    this.#wire ??= await this.#options.open()
    return this.#wire
  }

  async #exchange(batch: readonly Words[]): Promise<void> {
    const wire = await this.#open()
    await this.#inPieces(wire, bytesOf(batch))
    await this.#hear(wire, batch)
  }

  async #hear(wire: RedisWire, batch: readonly Words[]): Promise<void> {
    for (const [index, words] of batch.entries()) {
      const before = batch[index - 1]
      const reply = RedisModel.hasReply(words, before) ? await this.#reply(wire, words) : undefined
      if (this.#options.isMoving && this.#model.refusedBy(words, reply)) continue
      const expected = this.#model.run(words)
      if (reply === undefined) continue
      const difference = differenceOf(expected, reply)
      this.replies += 1
      if (difference === null) continue
      const lines = batch.map((line) => line.join(' ').slice(0, 60))
      lines[index] = `>>> ${lines[index]}`
      const wanted = expected instanceof RegExp ? String(expected) : JSON.stringify(expected)
      const text = `${words[0]}: ${difference.slice(0, 300)} and not ${wanted.slice(0, 300)}`
      this.#options.different(`${this.name}: ${text}\nin ${lines.join(' | ')}`)
    }
  }

  async #reply(wire: RedisWire, words: Words): Promise<RespValue> {
    try {
      return await wire.value(replyMs)
    } catch (error) {
      throw new Error(`${this.name}: ${words.join(' ').slice(0, 100)}`, { cause: error })
    }
  }

  async #hello(): Promise<void> {
    await this.#exchange([
      ['HGETALL', this.#key('h')],
      ['HELLO', String(2 + this.#below(2))],
      ['HGETALL', this.#key('h')],
    ])
  }

  /** In the middle of it, having heard some. */
  async #leave(): Promise<void> {
    const wire = await this.#open()
    // Where slots move, a WATCH or transaction may have been refused without anybody hearing of it.
    const plain = Array.from({ length: 1 + this.#below(12) }, () => this.#plain())
    const batch = this.#options.isMoving ? plain : this.#batch()
    const bytes = bytesOf(batch)
    wire.raw(this.#random() < 0.3 ? bytes.subarray(0, this.#below(bytes.length)) : bytes)
    const dice = this.#random()
    if (dice < 0.4) await sleep(this.#below(6))
    else if (dice < 0.7) await new Promise((resolve) => setImmediate(resolve))
    if (this.#random() < 0.5) wire.destroy()
    else wire.socket.resetAndDestroy()
    this.#gone(batch)
  }

  /** Its half is closed, and it still hears everything, unless that may take for ever. */
  async #sayGoodbye(): Promise<void> {
    const batch = this.#batch().filter(([name = '']) => !/^B|^CLIENT|SUBSCRIBE/.test(name))
    // Pontoon does not count the replies of who has done so.
    if (this.#hasSkipped) return this.#exchange(batch)
    const wire = await this.#open()
    wire.raw(bytesOf(batch))
    wire.socket.end()
    await this.#hear(wire, batch)
    await wire.untilClosed()
    this.#gone([])
  }

  #gone(batch: readonly Words[]): void {
    this.#note(batch)
    this.#wire = undefined
    this.#hasSkipped = false
    this.#generation += 1
    this.#model = new RedisModel()
  }

  /** What it may have left, having heard nothing of the batch. */
  #note(batch: readonly Words[]): void {
    const steps = [this.#model.fork()]
    const goOn = this.#model.fork()
    for (const words of batch) {
      goOn.run(words)
      steps.push(new RedisModel(goOn.data))
    }
    const bySlot = new Map<number, string[]>()
    for (const key of this.keys) bySlot.set(slotOf(key), [...(bySlot.get(slotOf(key)) ?? []), key])
    const slots = [...bySlot.values()].map((keys) => {
      const states = steps.map((step) => together(keys.map((key) => step.data.get(key))))
      return { keys, states: [...new Set(states)] }
    })
    this.left.push({ name: this.name, slots })
  }

  #batch(): Words[] {
    const batch: Words[] = []
    const length = 1 + this.#below(12)
    while (batch.length < length) {
      const dice = this.#below(100)
      if (dice < 72) batch.push(this.#plain())
      else if (dice < 84) batch.push(...this.#transaction())
      else if (dice < 89) batch.push(['BLPOP', this.#key('l'), '0.05'])
      else if (dice < 93) batch.push(...this.#refused())
      else if (dice < 96) batch.push(['SUBSCRIBE', this.name], ['UNSUBSCRIBE', this.name])
      else if (this.#options.mayBeSilent) {
        this.#hasSkipped = true
        // Behind an answer it is known that what had none was done.
        batch.push(['CLIENT', 'REPLY', 'SKIP'], this.#plain(), ['ECHO', this.#token()])
      }
    }
    return batch
  }

  #plain(): Words {
    const [s, n, l, h] = [this.#key('s'), this.#key('n'), this.#key('l'), this.#key('h')]
    const isLarge = this.#random() < 0.02
    const value = isLarge ? this.#token().repeat(10_000) : this.#token()
    const increment = "return redis.call('INCR', KEYS[1])"
    const lines: readonly Words[] = [
      ['SET', s, value],
      ['GET', s],
      ['INCR', n],
      ['INCR', n],
      ['INCR', l],
      ['APPEND', s, this.#token()],
      ['RPUSH', l, this.#token()],
      ['RPUSH', l, this.#token()],
      ['LPOP', l],
      ['LRANGE', l, '0', '-1'],
      ['HSET', h, `f${this.#below(3)}`, this.#token()],
      ['HGETALL', h],
      ['DEL', this.#key('s'), this.#key('n', 0), l],
      ['MGET', this.#key('s'), this.#key('n'), this.#key('s')],
      ['MSET', this.#key('s', 0), this.#token(), this.#key('s', 1), this.#token(), n, '7'],
      ['EXISTS', s, n, l],
      ['EVAL', increment, '1', n],
      ['ECHO', this.#token()],
      ...(this.#options.isMoving ? [] : [this.#inTag(this.#below(tagCount))]),
    ]
    return lines[this.#below(lines.length)] ?? ['PING']
  }

  #inTag(tag: number): Words {
    const [s, n] = [this.#tagged('s', tag), this.#tagged('n', tag)]
    const [l, m] = [this.#tagged('l', tag), this.#tagged('m', tag)]
    const lines: readonly Words[] = [
      ['SET', s, this.#token()],
      ['INCR', n],
      ['INCR', n],
      ['RPUSH', l, this.#token()],
      ['RPOPLPUSH', l, m],
      ['BLPOP', m, '0'],
      ['PING'],
      ['GET', s],
    ]
    const line = lines[this.#below(lines.length)] ?? ['PING']
    return line[0] === 'BLPOP' ? ['LPOP', m] : line
  }

  #transaction(): Words[] {
    const tag = this.#below(tagCount)
    const batch: Words[] = []
    if (this.#random() < 0.4) {
      batch.push(['WATCH', this.#tagged('n', tag)])
      if (this.#random() < 0.3) batch.push(['INCR', this.#tagged('n', tag)])
      if (this.#random() < 0.2) batch.push(['UNWATCH'])
    }
    batch.push(['MULTI'])
    for (let left = this.#below(6); left > 0; left -= 1) {
      const dice = this.#random()
      if (dice < 0.04) batch.push(['GET'])
      else if (dice < 0.07) batch.push(['MULTI'])
      else if (dice < 0.1) batch.push(['DISCARD', 'x'])
      else if (dice < 0.2) batch.push(['BLPOP', this.#tagged('l', tag), '0'])
      else batch.push(this.#inTag(tag))
    }
    const dice = this.#random()
    if (dice < 0.1) batch.push(['EXEC', 'x'])
    else batch.push([dice < 0.25 ? 'DISCARD' : 'EXEC'])
    return batch
  }

  #refused(): Words[] {
    const all: readonly (readonly Words[])[] = [
      [['MULTI', 'x']],
      [['MULTI', 'x'], this.#plain()],
      [
        ['MULTI', 'x'],
        ['BLPOP', this.#key('l'), '0.05'],
      ],
      [['EXEC']],
      [['EXEC', 'x']],
      [['DISCARD']],
      [['GET']],
      [['MULTI'], ['WATCH', this.#tagged('n', 0)], ['EXEC']],
    ]
    return [...(all[this.#below(all.length)] ?? [])]
  }

  #key(kind: string, index = this.#below(kinds[kind] ?? 0)): string {
    return `${this.name}:${kind}${index}`
  }

  #tagged(kind: string, tag: number): string {
    return `{${this.name}#${tag}}:${kind}`
  }

  async #inPieces(wire: RedisWire, bytes: Buffer): Promise<void> {
    let at = 0
    while (at < bytes.length) {
      const next = this.#random() < 0.6 ? bytes.length : at + 1 + this.#below(bytes.length - at)
      wire.raw(bytes.subarray(at, next))
      at = next
      if (this.#random() < 0.5) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #token(): string {
    this.#made += 1
    return `${this.name}v${this.#made};`
  }

  #random(): number {
    return this.#options.random()
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end)
  }
}

export function together(values: readonly (ModelValue | undefined)[]): string {
  return values.map(textOfValue).join(' & ')
}

export function slotOf(key: string): number {
  const bytes = Buffer.from(key)
  return hashSlot(bytes, 0, bytes.length)
}

/** The same numbers for the same seed. */
export function sequence(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function bytesOf(batch: readonly Words[]): Buffer {
  return Buffer.concat(batch.map((words) => encodeCommand(...words)))
}
