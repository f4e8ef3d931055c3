/** The primary side moves: subscribers are subscribed there, and miss, see twice or reorder nothing. */
import tap from 'tap'
import { connectingMax } from '../../../src/net/pool-rules.ts'
import { startRedisPontoon, type RedisPontoon } from '../../support/redis-pontoon.ts'
import { startRelay } from '../../support/relay.ts'
import type { RedisWire } from '../../support/redis-wire.ts'
import { startRedis } from '../../support/redis.ts'
import { itemsOf, RespPush, textOf, type RespValue } from '../../support/resp.ts'
import { until } from '../../support/until.ts'

const modes = ['multiplexed', 'pinned'] as const
const users = { default: 'on nopass ~* &* +@all', lean: 'on nopass ~* &news +@all' }
const source = await startRedis({ users })
const target = await startRedis({ users })
tap.teardown(() => Promise.all([source.stop(), target.stop()]))

type Test = Pick<typeof tap, 'teardown' | 'equal' | 'same'>

async function serve(
  test: Test,
  options: Partial<Parameters<typeof startRedisPontoon>[0]> = {},
): Promise<RedisPontoon> {
  const pontoon = await startRedisPontoon({ source, target, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

function moveTo(pontoon: RedisPontoon, primary: 'source' | 'target'): void {
  const { route } = pontoon.service
  pontoon.service.applyRoute({ ...route, epoch: route.epoch + 1, primary })
}

async function switchTo(
  test: Test,
  pontoon: RedisPontoon,
  primary: 'source' | 'target',
): Promise<void> {
  const hold = pontoon.service.beginSwitch('a test')
  test.equal((await hold.drained(5_000)).drained, true)
  test.same(pontoon.service.immovable?.(), [])
  moveTo(pontoon, primary)
  hold.release({ gradually: true })
  await until(() => pontoon.service.snapshot().gate.state === 'open', 'the gate is open')
}

async function isHeardThere(): Promise<boolean> {
  return itemsOf(await target.call('PUBSUB', 'CHANNELS')).length > 0
}

/** The words of a message, of either version; [] for anything else. */
function messageOf(value: RespValue): string[] {
  const items = value instanceof RespPush ? value.items : itemsOf(value)
  return /^[ps]?message$/.test(textOf(items[0])) ? items.map((item) => textOf(item)) : []
}

/** Publishes numbers until it is told to end. */
class Publisher {
  count = 0
  #isEnding = false
  readonly #client: RedisWire
  readonly #running: Promise<void>

  constructor(client: RedisWire, words: readonly string[]) {
    this.#client = client
    this.#running = this.#run(words)
  }

  async #run(words: readonly string[]): Promise<void> {
    for (; !this.#isEnding; this.count += 1) await this.#client.call(...words, String(this.count))
  }

  async end(): Promise<number> {
    this.#isEnding = true
    await this.#running
    this.#client.destroy()
    return this.count
  }
}

for (const mode of modes)
  for (const version of [2, 3])
    await tap.test(`${mode}, RESP${version}: messages go on over moves`, async (t) => {
      const pontoon = await serve(t, { mode })
      const listener = await pontoon.client()
      if (version === 3) await listener.call('HELLO', 3)
      listener.send('SUBSCRIBE', 'one', 'two')
      listener.send('PSUBSCRIBE', 'th*')
      listener.send('SSUBSCRIBE', 'shard')
      for (let count = 0; count < 4; count += 1) await listener.value()
      const publishers: Publisher[] = []
      for (const words of ['PUBLISH one', 'PUBLISH three', 'SPUBLISH shard'])
        publishers.push(new Publisher(await pontoon.client(), words.split(' ')))
      for (const side of ['target', 'source', 'target'] as const) {
        const before = publishers.map(({ count }) => count)
        await until(
          () => publishers.every(({ count }, index) => count >= (before[index] ?? 0) + 10),
          'they publish',
        )
        await switchTo(t, pontoon, side)
      }
      const counts = await Promise.all(publishers.map((one) => one.end()))
      await (await pontoon.client()).call('PUBLISH', 'two', 'end')
      const seen = new Map<string, number>()
      for (;;) {
        const words = messageOf(await listener.value())
        if (words.length === 0) t.fail('only messages come')
        const [channel = '', payload = ''] = words.slice(-2)
        if (payload === 'end') break
        if (Number(payload) !== (seen.get(channel) ?? 0))
          t.fail(`${channel} ${payload} in its turn`)
        seen.set(channel, Number(payload) + 1)
      }
      t.same(
        ['one', 'three', 'shard'].map((channel) => seen.get(channel)),
        counts,
      )
      const ended = await listener.ask('UNSUBSCRIBE', 'one')
      t.same(ended instanceof RespPush ? ended.items : ended, ['unsubscribe', 'one', 2])
      for (const side of [source, target])
        t.same(await side.call('PUBSUB', 'CHANNELS'), side === target ? ['two'] : [])
      listener.destroy()
    })

await tap.test('pinned: who it is, database, version and name come along', async (t) => {
  const pontoon = await serve(t, { mode: 'pinned' })
  const [client, plain] = [await pontoon.client(), await pontoon.client()]
  await client.call('HELLO', '3', 'SETNAME', 'worker')
  await client.call('SELECT', '2')
  await client.call('SUBSCRIBE', 'news')
  await plain.call('SELECT', '3')
  await switchTo(t, pontoon, 'target')
  t.equal(await client.call('SET', 'where', 'target'), 'OK')
  t.equal(await client.call('CLIENT', 'GETNAME'), 'worker')
  t.equal(await plain.call('SET', 'where', 'target'), 'OK')
  await target.call('PUBLISH', 'news', 'hello')
  t.same(await client.value(), new RespPush(['message', 'news', 'hello']))
  const keyspace = textOf(await target.call('INFO', 'keyspace'))
  t.match(keyspace, /db2:keys=1.*db3:keys=1/s)
  await target.call('FLUSHALL')
  for (const one of [client, plain]) one.destroy()
})

await tap.test('pinned: a later HELLO takes nothing back that it does not name', async (t) => {
  const pontoon = await serve(t, {
    mode: 'pinned',
    config: { clientAuth: { mode: 'passthrough' } },
  })
  for (const later of [
    ['HELLO'],
    ['HELLO', '3'],
    ['HELLO', '2'],
    ['HELLO', '3', 'SETNAME', 'other'],
  ]) {
    const client = await pontoon.client()
    await client.call('HELLO', '3', 'AUTH', 'lean', 'x', 'SETNAME', 'worker')
    await client.call(...later)
    const who = async (): Promise<unknown> => {
      const info = textOf(await client.call('CLIENT', 'INFO'))
      return info.match(/\b(?:name|user|resp)=\S+/g)
    }
    const before = await who()
    await switchTo(t, pontoon, 'target')
    t.same(await who(), before, later.join(' '))
    await switchTo(t, pontoon, 'source')
    client.destroy()
  }
})

await tap.test('pinned: what its server refused is not asked of the other one', async (t) => {
  const config = { clientAuth: { mode: 'passthrough' } }
  const pontoon = await serve(t, { mode: 'pinned', config })
  const client = await pontoon.client()
  const lines = ['AUTH lean x', 'SELECT 2', 'HELLO 3', 'CLIENT SETNAME worker']
  for (const line of lines) await client.call(...line.split(' '))
  const who = async (): Promise<unknown> =>
    textOf(await client.call('CLIENT', 'INFO')).match(/\b(?:name|user|resp|db)=\S+/g)
  const before = await who()
  for (const line of ['AUTH nobody x', 'SELECT 99', 'HELLO 2 AUTH nobody x'])
    client.send(...line.split(' '))
  for (const words of [/^WRONGPASS/, /out of range/, /^WRONGPASS/])
    t.match(textOf(await client.value()), words)
  await switchTo(t, pontoon, 'target')
  t.same(await who(), before)
  client.destroy()
})

await tap.test('multiplexed: a database that was refused to a subscriber', async (t) => {
  const pontoon = await serve(t)
  const client = await pontoon.client()
  await client.call('HELLO', '3')
  await client.call('SUBSCRIBE', 'news')
  await client.call('SELECT', '3')
  t.match(textOf(await client.ask('SELECT', '99')), /out of range/)
  await switchTo(t, pontoon, 'target')
  t.equal(await client.call('SET', 'where', 'target'), 'OK')
  t.match(textOf(await target.call('INFO', 'keyspace')), /db3:keys=1/)
  await target.call('FLUSHALL')
  client.destroy()
})

await tap.test('pinned: who may have become somebody else by half a HELLO is closed', async (t) => {
  const config = { clientAuth: { mode: 'passthrough' } }
  const pontoon = await serve(t, { mode: 'pinned', config })
  const client = await pontoon.client()
  t.match(textOf(await client.ask('HELLO', '3', 'AUTH', 'lean', 'x', 'SETNAME', 'a b')), /names/)
  t.equal(await client.call('ACL', 'WHOAMI'), 'lean')
  moveTo(pontoon, 'target')
  await client.untilClosed()
})

await tap.test('nobody publishes before subscribers are there, switch or not', async (t) => {
  const pontoon = await serve(t)
  const [listener, publisher] = [await pontoon.client(), await pontoon.client()]
  await listener.call('SUBSCRIBE', 'news')
  await publisher.call('PING')
  moveTo(pontoon, 'target')
  t.equal(await publisher.call('PUBLISH', 'news', 'first'), 1)
  t.same(await listener.value(), ['message', 'news', 'first'])
  // A command of its own waits for the move as well.
  moveTo(pontoon, 'source')
  t.same(await listener.call('SUBSCRIBE', 'other'), ['subscribe', 'other', 2])
  t.equal(await source.call('PUBLISH', 'other', 'x'), 1)
  for (const one of [listener, publisher]) one.destroy()
})

await tap.test('a large message that is under way arrives whole', async (t) => {
  const pontoon = await serve(t)
  const [listener, publisher] = [await pontoon.client(), await pontoon.client()]
  await listener.call('SUBSCRIBE', 'news')
  listener.socket.pause()
  const large = 'x'.repeat(3_000_000)
  await publisher.call('PUBLISH', 'news', large)
  setTimeout(() => listener.socket.resume(), 200)
  await switchTo(t, pontoon, 'target')
  await publisher.call('PUBLISH', 'news', 'small')
  t.same(await listener.value(), ['message', 'news', large])
  t.same(await listener.value(), ['message', 'news', 'small'])
  for (const one of [listener, publisher]) one.destroy()
})

await tap.test('what is still on its way from the old side comes first', async (t) => {
  const relay = await startRelay({ to: source })
  t.teardown(() => relay.close())
  const pontoon = await serve(t, { source: relay })
  const [listener, publisher] = [await pontoon.client(), await pontoon.client()]
  await listener.call('SUBSCRIBE', 'news')
  relay.stall('down')
  await source.call('PUBLISH', 'news', 'first')
  moveTo(pontoon, 'target')
  publisher.send('PUBLISH', 'news', 'second')
  setTimeout(() => relay.resume('down'), 300)
  for (const text of ['first', 'second']) t.same(await listener.value(), ['message', 'news', text])
  for (const one of [listener, publisher]) one.destroy()
})

await tap.test('a side that has moved back meanwhile is followed back', async (t) => {
  const relay = await startRelay({ to: source })
  t.teardown(() => relay.close())
  const pontoon = await serve(t, { source: relay })
  const listener = await pontoon.client()
  await listener.call('SUBSCRIBE', 'news')
  relay.stall('down')
  moveTo(pontoon, 'target')
  await until(isHeardThere, 'it is subscribed there, and waits for the last word of its old server')
  moveTo(pontoon, 'source')
  relay.resume('down')
  await until(async () => !(await isHeardThere()), 'it has left that side again')
  t.equal(await source.call('PUBLISH', 'news', 'hello'), 1)
  t.same(await listener.value(), ['message', 'news', 'hello'])
  listener.destroy()
})

await tap.test('who cannot be subscribed there, or must not, is closed', async (t) => {
  const lean = { host: target.host, port: target.port, user: 'lean', password: 'x' }
  const sure = await serve(t, { config: { target: lean } })
  const [allowed, refused] = [await sure.client(), await sure.client()]
  await allowed.call('SUBSCRIBE', 'news')
  await refused.call('SUBSCRIBE', 'secret')
  await switchTo(t, sure, 'target')
  await refused.untilClosed()
  await target.call('PUBLISH', 'news', 'hello')
  t.same(await allowed.value(), ['message', 'news', 'hello'])
  const closing = await serve(t, { config: { subscribers: 'close' } })
  const closed = await closing.client()
  await closed.call('SUBSCRIBE', 'news')
  t.equal(closing.service.immovable?.().length, 1)
  moveTo(closing, 'target')
  await closed.untilClosed()
  allowed.destroy()
})

await tap.test('a side that does not answer holds the gate for a moment only', async (t) => {
  const dead = await startRedis()
  t.teardown(() => dead.stop())
  const pontoon = await serve(t, { target: dead })
  const [listener, other] = [await pontoon.client(), await pontoon.client()]
  await listener.call('SUBSCRIBE', 'news')
  dead.pause()
  moveTo(pontoon, 'target')
  other.send('PING')
  await listener.untilClosed()
  dead.resume()
  t.equal(await other.value(), 'PONG')
  other.destroy()
})

await tap.test('moved back from a side that does not answer, a subscriber stays', async (t) => {
  const dead = await startRedis()
  t.teardown(() => dead.stop())
  const pontoon = await serve(t, { target: dead })
  const [listener, other] = [await pontoon.client(), await pontoon.client()]
  await listener.call('SUBSCRIBE', 'news')
  await other.call('PING')
  dead.pause()
  moveTo(pontoon, 'target')
  moveTo(pontoon, 'source')
  const begunMs = performance.now()
  t.equal(await other.call('PUBLISH', 'news', 'hello'), 1)
  t.ok(performance.now() - begunMs < 2_800, 'nobody waits for the side that was left')
  t.same(await listener.value(), ['message', 'news', 'hello'])
  dead.resume()
  for (const one of [listener, other]) one.destroy()
})

await tap.test('a crowd of subscribers moves to a side that is far away', async (t) => {
  const relay = await startRelay({ to: target })
  t.teardown(() => relay.close())
  relay.delay(50)
  const pontoon = await serve(t, { target: relay })
  const listeners = await Promise.all(Array.from({ length: 40 }, () => pontoon.client()))
  const publisher = await pontoon.client()
  await Promise.all(listeners.map((one) => one.call('SUBSCRIBE', 'news')))
  await publisher.call('PUBLISH', 'news', 'before')
  let most = 0
  const looking = setInterval(() => {
    for (const { connecting } of pontoon.service.snapshot().pools) most = Math.max(most, connecting)
  }, 5)
  t.teardown(() => clearInterval(looking))
  await switchTo(t, pontoon, 'target')
  t.ok(most > connectingMax, `${most} connections at a time: a larger crowd would come too late`)
  t.equal(await publisher.call('PUBLISH', 'news', 'after'), listeners.length)
  const seen = await Promise.all(
    listeners.map(async (one) => [await one.value(), await one.value()]),
  )
  const expected = ['before', 'after'].map((text) => ['message', 'news', text])
  t.ok(seen.every((two) => JSON.stringify(two) === JSON.stringify(expected)))
  t.equal(await source.call('PUBLISH', 'news', 'nobody'), 0)
  for (const one of [...listeners, publisher]) one.destroy()
})
