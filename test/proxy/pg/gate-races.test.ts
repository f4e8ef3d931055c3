/** Pause, resume, reload and reconnect in any order over a real server that loses backends. */
import * as fc from 'fast-check'
import t from 'tap'
import type { ServiceConfig } from '../../../src/config/schema.ts'
import { ask, sqlstate, startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE ledger (id int)')

const longMs = 60_000
const soonMs = 30_000
const workers = 5

type Move =
  | { readonly kind: 'insert' | 'transaction' | 'pinned' | 'leave'; readonly worker: number }
  | { readonly kind: 'pause'; readonly waitMs: number }
  | { readonly kind: 'resume' | 'reconnect' | 'kill' }
  | { readonly kind: 'reload'; readonly size: number }

const worker = fc.nat(workers - 1)
const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom('insert', 'transaction'), worker }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pinned', 'leave'), worker }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pause'), waitMs: fc.nat(60) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('resume', 'reconnect', 'kill') }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('reload'), size: fc.integer({ min: 1, max: 4 }) }),
  },
)

let nextId = 1
/** They may still be there when Pontoon has heard of their end. */
const killed: unknown[] = []

/** What became of the rows: acknowledged, or cut off with their fate unknown. */
interface Ledger {
  readonly done: Set<number>
  readonly unknown: Set<number>
}

/** One application thread: does its jobs one after the other, and comes back when thrown out. */
class Worker {
  readonly #pontoon: Pontoon
  readonly #ledger: Ledger
  #client: RawClient | null = null
  #jobs: Promise<void> = Promise.resolve()

  constructor(pontoon: Pontoon, ledger: Ledger) {
    this.#pontoon = pontoon
    this.#ledger = ledger
  }

  do(kind: 'insert' | 'transaction' | 'pinned' | 'leave'): void {
    this.#jobs = this.#jobs.then(() => (kind === 'leave' ? this.#leave() : this.#write(kind)))
  }

  end(): Promise<void> {
    this.do('leave')
    return this.#jobs
  }

  async #write(kind: 'insert' | 'transaction' | 'pinned'): Promise<void> {
    const id = nextId
    nextId += 1
    const insert = `INSERT INTO ledger VALUES (${id})`
    const texts = {
      insert: [insert],
      transaction: ['BEGIN', insert, 'SELECT pg_sleep(0.005)', 'COMMIT'],
      pinned: ['CREATE TEMP TABLE IF NOT EXISTS mine (n int)', insert],
    }[kind]
    try {
      this.#client ??= await this.#pontoon.client()
      for (const text of texts) {
        const error = sqlstate(await ask(this.#client, text))
        if (error !== '') throw new Error(error)
      }
      this.#ledger.done.add(id)
    } catch {
      this.#ledger.unknown.add(id)
      await this.#leave()
    }
  }

  async #leave(): Promise<void> {
    this.#client?.wire.destroy()
    this.#client = null
  }
}

async function serverState(): Promise<string> {
  return JSON.stringify(
    await server.query(
      `SELECT (SELECT count(*) FROM ledger) AS rows, (SELECT count(*) FROM pg_stat_activity
         WHERE state LIKE '%transaction%' AND pid <> pg_backend_pid() AND pid <> ALL ($1)) AS open`,
      'postgres',
      [killed],
    ),
  )
}

/** Drained means: nothing of ours is at work on the server, and nothing begins. */
async function checkDrained(): Promise<void> {
  const first = await serverState()
  await new Promise((resolve) => setTimeout(resolve, 15))
  const second = await serverState()
  if (first !== second || !first.includes('"open":"0"'))
    throw new Error(`drained, but ${first} became ${second}`)
}

async function play(pontoon: Pontoon, crew: readonly Worker[], step: Move): Promise<void> {
  const { service } = pontoon
  switch (step.kind) {
    case 'pause': {
      const report = await service.pause(longMs, step.waitMs, 'race')
      if (report.drained) return checkDrained()
      if (service.gate.isOpen || report.waitingFor.length === 0)
        throw new Error('neither drained nor waiting for anybody')
      for (const { serverPid, work } of report.waitingFor)
        if (serverPid === null || work === '') throw new Error('it does not say what it waits for')
      return
    }
    case 'resume':
      service.resume()
      return
    case 'reconnect':
      service.reconnect()
      return
    case 'reload':
      service.applyConfig(resized(pontoon, step.size))
      return
    case 'kill':
      for (const { pid } of await server.query(
        "SELECT pid, pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) one",
      ))
        killed.push(pid)
      return
    default:
      crew[step.worker]?.do(step.kind)
      // Lets it get on its way, or the moves would all come before the first query.
      await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

function resized({ service }: Pontoon, size: number): ServiceConfig {
  const { config } = service
  if (config.protocol !== 'postgres') throw new Error('another service')
  return { ...config, pool: { ...config.pool, size } }
}

for (const mode of ['transaction', 'session'] as const) {
  await t.test(`${mode} mode: races lose no acknowledged row and nobody hangs`, async (test) => {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 15, maxLength: 40 }), async (script) => {
        await server.query('TRUNCATE ledger')
        const pontoon = await startPontoon({
          source: server,
          mode,
          pool: { size: 6, queueTimeoutMs: 60_000, holdMs: 30_000 },
        })
        const ledger = { done: new Set<number>(), unknown: new Set<number>() }
        const crew = Array.from({ length: workers }, () => new Worker(pontoon, ledger))
        try {
          for (const step of script) await play(pontoon, crew, step)
          pontoon.service.applyConfig(resized(pontoon, 6))
          pontoon.service.resume()
          await Promise.all(crew.map((one) => one.end()))
          await pontoon.untilIdle(soonMs)
          const rows = await server.query<{ id: number }>('SELECT id FROM ledger')
          const stored = rows.map(({ id }) => id)
          if (new Set(stored).size !== stored.length) throw new Error('a row is there twice')
          for (const id of ledger.done)
            if (!stored.includes(id)) throw new Error(`acknowledged row ${id} is lost`)
          for (const id of stored)
            if (!ledger.done.has(id) && !ledger.unknown.has(id)) throw new Error(`whose is ${id}?`)
        } finally {
          await pontoon.stop()
        }
      }),
      // Not boxed in time: what is interrupted would go on beside the next.
      { numRuns: 6, endOnFailure: true },
    )
    test.pass('no counterexample')
  })
}

await t.test('a pause under which the server is killed drains', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 3 } })
  test.teardown(() => pontoon.stop())
  const [open, working] = [await pontoon.client(), await pontoon.client()]
  await ask(open, 'BEGIN')
  void ask(working, 'SELECT pg_sleep(60)').catch(() => undefined)
  await until(() => pontoon.service.snapshot().clients.active === 2, 'both at work', soonMs)
  const report = await pontoon.service.pause(longMs, 20, 'test')
  test.match(report.waitingFor.map(({ work }) => work).toSorted(), ['idle in transaction', 'query'])
  const drain = pontoon.service.pause(longMs, soonMs, 'test')
  await server.kill9()
  test.match(await drain, { drained: true, waitingFor: [] })
  await server.restart()
  pontoon.service.resume()
  await pontoon.untilIdle(soonMs)
})
