/**
 * Many clients at random over two shared servers: pipelines cut anywhere, transactions, waits, other
 * databases and versions, large values, clients that leave or break off in the middle. Whatever
 * happens, each gets the replies to its own commands, and nothing else.
 */
import tap from 'tap'
import type { Test } from 'tap'
import { startRedis } from '../../support/redis.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { encodeCommand } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const clientCount = 12
const roundCount = 25

const redis = await startRedis()
tap.teardown(() => redis.stop())
const pontoon = await startRedisPontoon({ source: redis, pool: { size: 2 } })
tap.teardown(() => pontoon.stop())

class RandomClient {
  readonly #t: Test
  readonly #name: string
  readonly #random: () => number
  #wire: RedisWire | undefined
  #made = 0

  constructor(t: Test, index: number, random: () => number) {
    this.#t = t
    this.#name = `client ${index}`
    this.#random = random
  }

  async run(): Promise<void> {
    const actions = [
      () => this.#pipeline(),
      () => this.#pipeline(),
      () => this.#transaction(),
      () => this.#database(),
      () => this.#wait(),
      () => this.#version(),
      () => this.#large(),
      () => this.#leave(),
      () => this.#breakOff(),
    ]
    for (let round = 0; round < roundCount; round += 1) {
      await actions[this.#below(actions.length)]?.()
    }
    this.#wire?.destroy()
  }

  async #open(): Promise<RedisWire> {
    this.#wire ??= await pontoon.client()
    return this.#wire
  }

  async #pipeline(): Promise<void> {
    const wire = await this.#open()
    const tokens = this.#tokens()
    await this.#inPieces(wire, Buffer.concat(tokens.map((token) => encodeCommand('ECHO', token))))
    for (const token of tokens) this.#t.equal(await wire.value(), token)
  }

  async #transaction(): Promise<void> {
    const wire = await this.#open()
    const tokens = this.#tokens()
    if (this.#random() < 0.5) this.#t.equal(await wire.ask('WATCH', this.#name), 'OK')
    wire.send('MULTI')
    for (const token of tokens) wire.send('ECHO', token)
    wire.send(this.#random() < 0.2 ? 'DISCARD' : 'EXEC')
    this.#t.equal(await wire.value(), 'OK')
    for (const _ of tokens) this.#t.equal(await wire.value(), 'QUEUED')
    const end = await wire.value()
    if (end !== 'OK') this.#t.same(end, tokens)
  }

  async #database(): Promise<void> {
    const wire = await this.#open()
    const database = this.#below(4)
    const token = this.#token()
    wire.send('SELECT', database)
    wire.send('SET', this.#name, token)
    wire.send('GET', this.#name)
    for (const expected of ['OK', 'OK', token]) this.#t.equal(await wire.value(), expected)
  }

  async #wait(): Promise<void> {
    const wire = await this.#open()
    const token = this.#token()
    wire.send('ECHO', token)
    wire.send('BLPOP', `list of ${this.#name}`, '0.01')
    wire.send('ECHO', token)
    for (const expected of [token, null, token]) this.#t.equal(await wire.value(), expected)
  }

  async #version(): Promise<void> {
    const wire = await this.#open()
    const version = 2 + this.#below(2)
    this.#t.equal((await wire.ask('HELLO', version)) instanceof Map, version === 3)
    const hash = `hash of ${this.#name}`
    await wire.call('HSET', hash, 'a', '1')
    const shape = version === 3 ? new Map([['a', '1']]) : ['a', '1']
    this.#t.same(await wire.ask('HGETALL', hash), shape)
  }

  async #large(): Promise<void> {
    const wire = await this.#open()
    const value = this.#token().repeat(1 + this.#below(20_000))
    const key = `large ${this.#name}`
    const bytes = [encodeCommand('SET', key, value), encodeCommand('GET', key)]
    await this.#inPieces(wire, Buffer.concat(bytes))
    this.#t.equal(await wire.value(), 'OK')
    this.#t.ok((await wire.value()) === value, 'the large value is whole')
  }

  /** In the middle of a command, with replies still to come. */
  async #leave(): Promise<void> {
    const wire = await this.#open()
    const bytes = Buffer.concat(this.#tokens().map((token) => encodeCommand('ECHO', token)))
    wire.raw(bytes.subarray(0, bytes.length - this.#below(20)))
    if (this.#random() < 0.5) await new Promise((resolve) => setTimeout(resolve, this.#below(5)))
    wire.destroy()
    this.#wire = undefined
  }

  async #breakOff(): Promise<void> {
    const wire = await this.#open()
    const tokens = this.#tokens()
    wire.raw(Buffer.concat(tokens.map((token) => encodeCommand('ECHO', token))))
    wire.raw('*1\r\n$x\r\n')
    for (const token of tokens) this.#t.equal(await wire.value(), token)
    this.#t.match(await wire.value(), { message: /Protocol error/ })
    await wire.untilClosed()
    this.#wire = undefined
  }

  async #inPieces(wire: RedisWire, bytes: Buffer): Promise<void> {
    let at = 0
    while (at < bytes.length) {
      const next = this.#random() < 0.5 ? bytes.length : at + 1 + this.#below(bytes.length - at)
      wire.raw(bytes.subarray(at, next))
      at = next
      if (this.#random() < 0.5) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #tokens(): string[] {
    return Array.from({ length: 1 + this.#below(20) }, () => this.#token())
  }

  #token(): string {
    this.#made += 1
    return `${this.#name} ${this.#made};`
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end)
  }
}

/** The same numbers for the same seed. */
function sequence(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

await tap.test('random clients get their own replies', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  await Promise.all(
    Array.from({ length: clientCount }, (_, index) =>
      new RandomClient(t, index, sequence(seed + index)).run(),
    ),
  )
  await until(() => pontoon.service.clients(100).length === 0, 'all clients have left')
  await until(() => pontoon.ownServers() === 0, 'no server is anybody’s own')
})
