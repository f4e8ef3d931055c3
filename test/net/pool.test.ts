/** The pool with servers of cardboard and a clock that the test moves. */
import t from 'tap'
import { Pool } from '../../src/net/pool.ts'
import type { Poolable, PoolLimits } from '../../src/net/pool-rules.ts'
import type { Clock } from '../../src/shared/clock.ts'
import { PontoonError } from '../../src/shared/errors.ts'
import { present, until } from '../support/pontoon.ts'

class TestClock implements Clock {
  now = 1_000
  nowMs(): number {
    return this.now
  }
  wallMs(): number {
    return this.now
  }
}

class CardboardServer implements Poolable {
  readonly number: number
  readonly openedAtMs: number
  idleSinceMs = 0
  isUsable = true
  isClosed = false

  constructor(number: number, openedAtMs: number) {
    this.number = number
    this.openedAtMs = openedAtMs
  }

  close(): void {
    this.isClosed = true
    this.isUsable = false
  }
}

const limits: PoolLimits = {
  size: 2,
  minSize: 0,
  queueMax: 3,
  queueTimeoutMs: 100,
  idleTimeoutMs: 1_000,
  maxLifetimeMs: 10_000,
  holdMs: 0,
  probeIntervalMs: 100_000,
  probeTimeoutMs: 1_000,
}

class Bench {
  readonly clock = new TestClock()
  readonly opened: CardboardServer[] = []
  /** What became of those who wait, in order: a server's number or an error code. */
  readonly outcomes: string[] = []
  readonly served: CardboardServer[] = []
  failure: Error | null = null
  readonly pool: Pool<CardboardServer>

  constructor(changes: Partial<PoolLimits> = {}) {
    this.pool = new Pool(() => this.#open(), { ...limits, ...changes }, this.clock)
  }

  async #open(): Promise<CardboardServer> {
    await Promise.resolve()
    if (this.failure !== null) throw this.failure
    const server = new CardboardServer(this.opened.length + 1, this.clock.now)
    this.opened.push(server)
    return server
  }

  wait(name: string, wanted = true): () => void {
    return this.pool.wait({
      onServer: (server) => {
        this.outcomes.push(`${name}:${wanted ? server.number : 'declined'}`)
        if (wanted) this.served.push(server)
        return wanted
      },
      onRefused: (error) => this.outcomes.push(`${name}:${error.code}`),
    })
  }

  /** A server in use, the usual way. */
  async get(): Promise<CardboardServer> {
    const idle = this.pool.take()
    if (idle !== null) return idle
    const count = this.served.length
    this.wait('get')
    await until(() => this.served.length > count, 'a server')
    this.outcomes.pop()
    return present(this.served.pop())
  }

  async settled(count: number): Promise<void> {
    await until(() => this.outcomes.length >= count, `${count} outcomes`)
  }

  get counts(): string {
    const { idleCount, outCount, connectingCount, waitingCount } = this.pool
    return `${idleCount} idle, ${outCount} out, ${connectingCount} connecting, ${waitingCount} waiting`
  }
}

void t.test('who waits first is served first', async (test) => {
  const bench = new Bench({ size: 1 })
  const server = await bench.get()
  for (const name of ['a', 'b', 'c']) bench.wait(name)
  test.equal(bench.pool.take(), null, 'nobody overtakes those who wait')
  for (let round = 0; round < 3; round += 1) bench.pool.give(server)
  test.strictSame(bench.outcomes, ['a:1', 'b:1', 'c:1'])
  bench.pool.give(server)
  test.equal(bench.counts, '1 idle, 0 out, 0 connecting, 0 waiting')
  test.equal(bench.pool.take(), server)
  test.throws(() => bench.pool.give(new CardboardServer(9, 0)), 'a stranger is not taken in')
})

void t.test('the pool grows to its size and no further', async (test) => {
  const bench = new Bench({ queueMax: 10 })
  for (const name of ['a', 'b', 'c', 'd']) bench.wait(name)
  test.equal(bench.counts, '0 idle, 0 out, 2 connecting, 4 waiting')
  await bench.settled(2)
  test.equal(bench.opened.length, 2)
  test.strictSame(bench.outcomes, ['a:1', 'b:2'])
})

void t.test(
  'more than queueMax are refused at once, with their place left to others',
  async (test) => {
    const bench = new Bench({ size: 1 })
    const server = await bench.get()
    const leave = bench.wait('a')
    for (const name of ['b', 'c', 'd']) bench.wait(name)
    test.strictSame(bench.outcomes, [], 'never while wait runs')
    await bench.settled(1)
    test.strictSame(bench.outcomes, ['d:POOL_QUEUE_FULL'])
    leave()
    bench.wait('e')
    for (let round = 0; round < 3; round += 1) bench.pool.give(server)
    test.strictSame(bench.outcomes.slice(1), ['b:1', 'c:1', 'e:1'])
  },
)

void t.test('who waits too long is refused, the others go on waiting', async (test) => {
  const bench = new Bench({ size: 1 })
  const server = await bench.get()
  bench.wait('a')
  bench.clock.now += 60
  bench.wait('b')
  bench.clock.now += 60
  bench.pool.sweep()
  test.strictSame(bench.outcomes, ['a:POOL_TIMEOUT'])
  bench.pool.give(server)
  test.strictSame(bench.outcomes, ['a:POOL_TIMEOUT', 'b:1'])
})

void t.test('a server that nobody wants any more rests', async (test) => {
  const bench = new Bench({ size: 1 })
  const server = await bench.get()
  bench.wait('a', false)
  bench.wait('b', false)
  bench.pool.give(server)
  test.strictSame(bench.outcomes, ['a:declined', 'b:declined'])
  test.equal(bench.counts, '1 idle, 0 out, 0 connecting, 0 waiting')
})

void t.test('a sweep closes what is old, not what fills the pool', async (test) => {
  const bench = new Bench()
  const servers = [await bench.get(), await bench.get()]
  for (const server of servers) bench.pool.give(server)
  for (let round = 0; round < 5; round += 1) bench.pool.sweep()
  test.equal(bench.counts, '2 idle, 0 out, 0 connecting, 0 waiting', 'a full pool stays full')
  bench.clock.now += 900
  const used = present(bench.pool.take())
  bench.pool.give(used)
  bench.clock.now += 200
  bench.pool.sweep()
  test.strictSame(
    servers.map((server) => server.isClosed).filter(Boolean).length,
    1,
    'the one that rested longer than idleTimeoutMs',
  )
  test.notOk(used.isClosed)
  bench.clock.now += 10_000
  bench.pool.sweep()
  test.ok(used.isClosed)
  test.equal(bench.counts, '0 idle, 0 out, 0 connecting, 0 waiting')
})

void t.test('maxLifetimeMs closes a server at its release', async (test) => {
  const bench = new Bench({ size: 1 })
  const server = await bench.get()
  bench.clock.now += 10_001
  bench.wait('a')
  bench.pool.give(server)
  test.ok(server.isClosed)
  await bench.settled(1)
  test.strictSame(bench.outcomes, ['a:2'], 'who waits gets a new one')
})

void t.test('reconnect closes idle servers now and busy ones at their release', async (test) => {
  const bench = new Bench()
  const busy = await bench.get()
  const idle = await bench.get()
  bench.pool.give(idle)
  bench.pool.reconnect()
  test.ok(idle.isClosed)
  test.notOk(busy.isClosed)
  bench.pool.give(busy)
  test.ok(busy.isClosed)
  const next = await bench.get()
  bench.pool.give(next)
  test.notOk(next.isClosed, 'a new one is kept')
})

void t.test('a server that connects during a reconnect does not serve', async (test) => {
  const bench = new Bench({ size: 1 })
  bench.wait('a')
  bench.pool.reconnect()
  await bench.settled(1)
  test.ok(bench.opened[0]?.isClosed)
  test.strictSame(bench.outcomes, ['a:2'])
})

void t.test('a lost server makes room', async (test) => {
  const bench = new Bench({ size: 1 })
  const server = await bench.get()
  bench.wait('a')
  server.isUsable = false
  bench.pool.lost(server)
  await bench.settled(1)
  test.strictSame(bench.outcomes, ['a:2'])
  const second = present(bench.opened[1])
  bench.pool.give(second)
  bench.pool.lost(second)
  test.equal(bench.counts, '0 idle, 0 out, 0 connecting, 0 waiting', 'an idle one too')
})

void t.test('an unusable idle server is not handed out', async (test) => {
  const bench = new Bench()
  const server = await bench.get()
  bench.pool.give(server)
  server.isUsable = false
  test.equal(bench.pool.take(), null)
  test.ok(server.isClosed)
})

void t.test('a smaller size closes servers as they come back', async (test) => {
  const bench = new Bench({ size: 3 })
  const [first, second, third] = [await bench.get(), await bench.get(), await bench.get()]
  bench.pool.give(first)
  bench.pool.limits = { ...limits, size: 1 }
  bench.pool.give(second)
  test.ok(second.isClosed)
  bench.pool.sweep()
  test.ok(first.isClosed, 'an idle one at the next sweep')
  bench.pool.give(third)
  test.notOk(third.isClosed)
  bench.wait('a')
  bench.pool.limits = { ...limits, size: 2 }
  await bench.settled(1)
  test.strictSame(bench.outcomes, ['a:4'], 'a larger size serves those who wait')
})

void t.test('when no server is left, a failed connect refuses all who wait', async (test) => {
  const bench = new Bench()
  bench.failure = new PontoonError('CONNECT_FAILED', 'nobody there')
  for (const name of ['a', 'b', 'c']) bench.wait(name)
  await bench.settled(3)
  test.strictSame(bench.outcomes, ['a:CONNECT_FAILED', 'b:CONNECT_FAILED', 'c:CONNECT_FAILED'])
  test.ok(bench.pool.isDown)
  bench.failure = null
  bench.wait('d')
  await bench.settled(4)
  test.equal(bench.outcomes[3], 'd:1', 'the next attempt works')
  test.notOk(bench.pool.isDown)
  bench.pool.close()
})

void t.test('a side that comes back within holdMs costs nobody an error', async (test) => {
  const bench = new Bench({ holdMs: 60, queueTimeoutMs: 10_000 })
  bench.failure = new PontoonError('CONNECT_FAILED', 'it restarts')
  bench.wait('a')
  await until(() => bench.pool.isDown, 'a failed attempt')
  test.strictSame(bench.outcomes, [], 'held')
  bench.failure = null
  await bench.settled(1)
  test.strictSame(bench.outcomes, ['a:1'])
  bench.pool.close()
})

void t.test('holdMs is a limit, and holds nobody for what does not pass', async (test) => {
  const bench = new Bench({ holdMs: 60, queueTimeoutMs: 10_000 })
  bench.failure = new PontoonError('CONNECT_FAILED', 'it stays away')
  bench.wait('a')
  await until(() => bench.pool.isDown, 'a failed attempt')
  bench.clock.now += 61
  bench.wait('b')
  await bench.settled(1)
  test.strictSame(bench.outcomes, ['a:CONNECT_FAILED'], 'b has not waited long enough')
  bench.failure = new PontoonError('SERVER_AUTH_FAILED', 'a wrong password')
  await bench.settled(2)
  test.strictSame(bench.outcomes, ['a:CONNECT_FAILED', 'b:SERVER_AUTH_FAILED'])
  bench.pool.close()
})

void t.test('while a server is left, a failed connect lets them wait', async (test) => {
  const bench = new Bench()
  const server = await bench.get()
  bench.failure = new Error('no more')
  bench.wait('a')
  await until(() => bench.pool.connectingCount === 0, 'the attempt to fail')
  test.strictSame(bench.outcomes, [])
  bench.pool.give(server)
  test.strictSame(bench.outcomes, ['a:1'])
  bench.pool.close()
})

void t.test('close refuses those who wait and closes what comes back', async (test) => {
  const bench = new Bench({ size: 1 })
  const server = await bench.get()
  bench.wait('a')
  bench.pool.close()
  test.strictSame(bench.outcomes, ['a:SHUTTING_DOWN'])
  bench.pool.give(server)
  test.ok(server.isClosed)
  bench.wait('b')
  await bench.settled(2)
  test.equal(bench.outcomes[1], 'b:SHUTTING_DOWN')
})
