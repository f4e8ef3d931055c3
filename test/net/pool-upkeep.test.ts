/** What a pool does by itself: warm minimum, ageing, probes, back-off, bounds shared with others. */
import t from 'tap'
import { Pool } from '../../src/net/pool.ts'
import { leftRestMs } from '../../src/net/pool-rules.ts'
import type { CloseReason, Poolable, PoolLimits } from '../../src/net/pool-rules.ts'
import { ServerCap } from '../../src/net/server-cap.ts'
import { PontoonError, type ErrorCode } from '../../src/shared/errors.ts'
import { present, until } from '../support/pontoon.ts'

class ProbedServer implements Poolable {
  readonly openedAtMs: number
  idleSinceMs = 0
  isUsable = true
  probes = 0
  answers = true

  constructor(openedAtMs: number) {
    this.openedAtMs = openedAtMs
  }

  close(): void {
    this.isUsable = false
  }

  async probe(): Promise<void> {
    this.probes += 1
    await Promise.resolve()
    if (!this.answers) throw new Error('silence')
  }
}

const limits: PoolLimits = {
  size: 5,
  minSize: 0,
  queueMax: 100,
  queueTimeoutMs: 60_000,
  idleTimeoutMs: 1_000,
  maxLifetimeMs: 1_000_000,
  holdMs: 0,
  probeIntervalMs: 500_000,
  probeTimeoutMs: 1_000,
}

class Bench {
  static now = 1_000
  readonly opened: ProbedServer[] = []
  readonly closed: CloseReason[] = []
  readonly failures: { code: ErrorCode; isNew: boolean }[] = []
  readonly served: ProbedServer[] = []
  attempts = 0
  failure: ErrorCode | null = null
  readonly pool: Pool<ProbedServer>

  constructor(changes: Partial<PoolLimits> = {}, caps: readonly ServerCap[] = [], random = 0) {
    this.pool = new Pool(
      () => this.#open(),
      { ...limits, ...changes },
      { nowMs: () => Bench.now, wallMs: () => Bench.now },
      {
        caps,
        random: () => random,
        observer: {
          opened: () => undefined,
          openFailed: ({ code }, isNew) => this.failures.push({ code, isNew }),
          closed: (reason) => this.closed.push(reason),
          probed: () => undefined,
        },
      },
    )
  }

  async #open(): Promise<ProbedServer> {
    this.attempts += 1
    await Promise.resolve()
    if (this.failure !== null) throw new PontoonError(this.failure, 'refused')
    const server = new ProbedServer(Bench.now)
    this.opened.push(server)
    return server
  }

  wait(): void {
    this.pool.wait({
      onServer: (server) => this.served.push(server) > 0,
      onRefused: () => undefined,
    })
  }

  async get(): Promise<ProbedServer> {
    const idle = this.pool.take()
    if (idle !== null) return idle
    const count = this.served.length
    this.wait()
    await until(() => this.served.length > count, 'a server')
    return present(this.served.pop())
  }

  /** Sweeps, and lets what that began come to an end. */
  async sweep(laterMs = 0): Promise<void> {
    Bench.now += laterMs
    this.pool.sweep()
    await until(
      () => this.pool.connectingCount + this.pool.probingCount === 0,
      'nothing to be under way',
    )
  }
}

void t.test(
  'the warm minimum is opened without a client and outlives idleTimeoutMs',
  async (test) => {
    const bench = new Bench({ minSize: 3 })
    await bench.sweep()
    test.equal(bench.pool.idleCount, 3)
    const extra = [await bench.get(), await bench.get(), await bench.get(), await bench.get()]
    test.equal(bench.opened.length, 4)
    for (const server of extra) bench.pool.give(server)
    await bench.sweep(1_001)
    test.equal(bench.pool.idleCount, 3, 'the fourth was spare')
    test.strictSame(bench.closed, ['idle'])
    bench.pool.lost(present(bench.opened.find(({ isUsable }) => isUsable)))
    await bench.sweep()
    test.equal(bench.pool.idleCount, 3, 'what is lost is replaced')
    bench.pool.close()
  },
)

void t.test('a minimum whose servers die at once is opened less and less often', async (test) => {
  const bench = new Bench({ minSize: 1 })
  for (const pauseMs of [1_000, 2_000, 4_000, 5_000, 5_000]) {
    await bench.sweep()
    const { attempts } = bench
    bench.pool.lost(present(bench.opened.at(-1)))
    await bench.sweep(pauseMs - 1)
    test.equal(bench.attempts, attempts, `nothing before ${pauseMs} ms`)
    Bench.now += 1
  }
  await bench.sweep()
  Bench.now += 1_000
  const { attempts } = bench
  bench.pool.lost(present(bench.opened.at(-1)))
  await bench.sweep()
  test.equal(bench.attempts, attempts + 1, 'one that has lived for a while is replaced at once')
  bench.pool.lost(present(bench.opened.at(-1)))
  await bench.get()
  test.equal(bench.attempts, attempts + 2, 'and so is one that somebody waits for')
  bench.pool.close()
})

void t.test('servers opened together do not reach maxLifetimeMs together', async (test) => {
  const early = new Bench({ maxLifetimeMs: 10_000, idleTimeoutMs: 100_000 }, [], 0.999)
  const late = new Bench({ maxLifetimeMs: 10_000, idleTimeoutMs: 100_000 }, [], 0)
  for (const bench of [early, late]) bench.pool.give(await bench.get())
  const busy = await late.get()
  await early.sweep(9_100)
  await late.sweep()
  test.strictSame(early.closed, ['lifetime'], 'a tenth earlier at most')
  test.strictSame(late.closed, [])
  Bench.now += 1_000
  late.pool.sweep()
  test.strictSame(late.closed, [], 'never while somebody has it')
  late.pool.give(busy)
  test.strictSame(late.closed, ['lifetime'])
})

void t.test('a silent idle server is asked for a sign of life, seldom', async (test) => {
  const bench = new Bench({ probeIntervalMs: 100, idleTimeoutMs: 400 })
  const [first, second] = [await bench.get(), await bench.get()]
  bench.pool.give(first)
  Bench.now += 50
  bench.pool.give(second)
  await bench.sweep(60)
  test.strictSame([first.probes, second.probes], [1, 0])
  for (let round = 0; round < 5; round += 1) await bench.sweep()
  test.strictSame([first.probes, second.probes], [1, 0], 'not again so soon')
  await bench.sweep(100)
  test.strictSame([first.probes, second.probes], [2, 1])
  test.equal(bench.pool.take(), second, 'the order of use is kept')
  await bench.sweep(300)
  test.strictSame(bench.closed, ['idle'], 'a probe is no use: idleTimeoutMs goes on')
  test.notOk(first.isUsable)
})

void t.test('one that gives none is closed, and puts the others under suspicion', async (test) => {
  const bench = new Bench({ probeIntervalMs: 100 })
  const servers = [await bench.get(), await bench.get(), await bench.get()]
  const [dead, deadToo, alive] = servers
  for (const server of servers) bench.pool.give(server)
  present(dead).answers = false
  Bench.now += 90
  for (const server of [bench.pool.take(), bench.pool.take()]) bench.pool.give(present(server))
  present(deadToo).answers = false
  await bench.sweep(20)
  test.strictSame(bench.closed, ['probe', 'probe'])
  test.strictSame(
    [...bench.pool.servers()].map(({ server }) => server),
    [alive],
  )
})

void t.test('who waits gets a probed server, and a lost one is not given out', async (test) => {
  const bench = new Bench({ size: 1, probeIntervalMs: 100 })
  const server = await bench.get()
  bench.pool.give(server)
  Bench.now += 100
  bench.pool.sweep()
  test.equal(bench.pool.take(), null, 'not while it is asked')
  bench.wait()
  await until(() => bench.served.length === 1, 'served')
  test.equal(bench.served[0], server)
  bench.pool.give(server)
  Bench.now += 100
  bench.pool.sweep()
  bench.pool.lost(server)
  await until(() => bench.pool.probingCount === 0, 'the probe to end')
  test.ok(bench.pool.isEmpty)
})

void t.test('a connect that is not answered puts idle servers under suspicion', async (test) => {
  const bench = new Bench()
  const [one, other] = [await bench.get(), await bench.get()]
  bench.failure = 'CONNECT_TIMEOUT'
  bench.wait()
  bench.pool.give(one)
  bench.pool.give(other)
  await until(() => bench.failures.length > 0, 'a failed attempt')
  test.strictSame([one.probes, other.probes], [0, 1], 'the one that rests')
  bench.pool.close()
})

void t.test('with nobody waiting attempts become rare', async (test) => {
  const attemptsIn = async (code: ErrorCode, seconds: number): Promise<number> => {
    const bench = new Bench({ minSize: 1 })
    bench.failure = code
    // The pause after a failed attempt is of real time.
    for (let second = 0; second < seconds; second += 1) {
      await bench.sweep(1_000)
      if (bench.failures.length > 0) break
    }
    test.match(bench.failures, [{ code, isNew: true }])
    await new Promise((resolve) => setTimeout(resolve, 300))
    const before = bench.attempts
    await bench.sweep(900)
    test.equal(bench.attempts, before, 'not within the second')
    await bench.sweep(200)
    test.equal(bench.attempts, before + 1)
    test.equal(bench.failures.at(-1)?.isNew, false, 'the same reason')
    await new Promise((resolve) => setTimeout(resolve, 300))
    bench.failure = null
    bench.wait()
    await until(() => bench.served.length === 1, 'who waits is not put off')
    bench.pool.close()
    return bench.attempts
  }
  await attemptsIn('CONNECT_FAILED', 5)
  await attemptsIn('SERVER_AUTH_FAILED', 5)
})

void t.test('only the servers named are retired', async (test) => {
  const bench = new Bench()
  const [busy, idle, kept] = [await bench.get(), await bench.get(), await bench.get()]
  for (const server of [idle, kept]) bench.pool.give(server)
  test.equal(
    bench.pool.retire((server) => server !== kept),
    2,
  )
  test.strictSame([busy.isUsable, idle.isUsable, kept.isUsable], [true, false, true])
  test.notOk(bench.pool.isCurrent(busy))
  test.equal(
    bench.pool.retire((server) => server !== kept),
    0,
    'once',
  )
  bench.pool.give(busy)
  test.notOk(busy.isUsable)
  test.strictSame(bench.closed, ['reconnect', 'reconnect'])
})

void t.test(
  'a pool that is left closes what rests a moment later, and gives it to nobody',
  async (test) => {
    const bench = new Bench({ idleTimeoutMs: 60_000 })
    const [busy, idle] = [await bench.get(), await bench.get()]
    bench.pool.give(idle)
    bench.pool.leave()
    bench.pool.give(busy)
    test.strictSame(
      [busy.isUsable, idle.isUsable],
      [false, true],
      'what comes back is closed at once',
    )
    bench.pool.sweep()
    test.equal(idle.isUsable, true)
    Bench.now += leftRestMs
    bench.pool.sweep()
    test.equal(idle.isUsable, false)
    const again = await bench.get()
    bench.pool.give(again)
    bench.pool.leave()
    test.not(await bench.get(), again, 'whoever comes back gets another one')
    test.strictSame(bench.closed, ['reconnect', 'reconnect', 'reconnect'])
  },
)

void t.test('a pool that was left is warm again only with new servers', async (test) => {
  const bench = new Bench()
  const old = await bench.get()
  bench.pool.give(old)
  bench.pool.leave()
  bench.pool.keepWarm(1)
  await until(() => bench.opened.length === 2, 'another server')
  test.equal(old.isUsable, false)
})

void t.test('a pool that was left keeps no place from another under the cap', async (test) => {
  const cap = new ServerCap(() => 2)
  const [left, other] = [new Bench({ minSize: 2 }, [cap]), new Bench({}, [cap])]
  await left.sweep()
  test.equal(left.pool.idleCount, 2)
  left.pool.leave()
  other.wait()
  await until(() => other.served.length === 1, 'the other pool is served')
  test.strictSame(left.closed, ['yielded'])
  left.pool.close()
  other.pool.close()
})

void t.test('pools under a cap', async (test) => {
  const cap = new ServerCap(() => 2)
  const [one, two] = [new Bench({}, [cap]), new Bench({}, [cap])]
  const [first, second] = [await one.get(), await one.get()]
  one.wait()
  await one.sweep()
  test.equal(one.opened.length, 2, 'no more than the cap')
  one.pool.give(first)
  test.equal(one.served.pop(), first)

  two.wait()
  await two.sweep()
  test.equal(two.opened.length, 0, 'the other pool waits for a place')
  one.pool.give(second)
  test.ok(second.isUsable, 'what has waited for no more than a moment is not preferred')
  test.equal(one.pool.idleCount, 1)
  await two.sweep()
  test.notOk(second.isUsable, 'an idle one is closed for who waits elsewhere')
  test.strictSame(one.closed, ['yielded'])
  await until(() => two.served.length === 1, 'the other pool is served')

  one.wait()
  two.wait()
  Bench.now += 1_000
  one.wait()
  two.pool.give(present(two.served.pop()))
  await until(() => two.served.length === 1, 'its own, who has waited as long')
  one.pool.give(first)
  await until(() => one.served.length === 1, 'its own')
  one.pool.close()
  two.pool.close()
})

void t.test('a pool that always has somebody waiting does not starve another', async (test) => {
  const cap = new ServerCap(() => 1)
  const [greedy, modest] = [new Bench({}, [cap]), new Bench({}, [cap])]
  let server = await greedy.get()
  modest.wait()
  for (let round = 0; round < 10 && modest.served.length === 0; round += 1) {
    greedy.wait()
    Bench.now += 100
    greedy.pool.give(server)
    await new Promise((resolve) => setImmediate(resolve))
    server = greedy.served.shift() ?? server
    if (!server.isUsable) break
  }
  await until(() => modest.served.length === 1, 'the modest one is served')
  test.strictSame(greedy.closed, ['yielded'])
  modest.pool.give(present(modest.served[0]))
  greedy.pool.sweep()
  await until(() => greedy.served.length > 0, 'and the place goes back')
  greedy.pool.close()
  modest.pool.close()
  test.ok(modest.pool.isEmpty)
})
