/** The whole sidecar with real databases: traffic, shifts, pauses and what is counted of them. */
import { Client } from 'pg'
import t from 'tap'
import { startPostgres } from '../support/postgres.ts'
import { recordTableSql, startWriters } from '../support/record-client.ts'
import { Sidecar } from './sidecar.ts'

t.setTimeout(280_000)
const source = await startPostgres({ major: 15 })
const target = await startPostgres({ major: 17 })
t.teardown(() => Promise.all([source.stop(), target.stop()]))

/** Reads in a loop until told to stop; every error counts. */
class Reader {
  answered = 0
  readonly errors: unknown[] = []
  readonly #client: Client
  #run: Promise<void> = Promise.resolve()
  #stopping = false

  constructor(url: string) {
    this.#client = new Client({ connectionString: url })
  }

  async start(): Promise<void> {
    await this.#client.connect()
    this.#run = this.#loop()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#run
    await this.#client.end()
  }

  async #loop(): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.#client.query('SELECT count(*) FROM records')
        this.answered += 1
      } catch (error) {
        this.errors.push(error)
        return
      }
    }
  }
}

void t.test('a shift under load loses no request and shows at once', async (test) => {
  for (const server of [source, target]) {
    const client = new Client({ connectionString: server.url() })
    await client.connect()
    await client.query(recordTableSql('records'))
    await client.end()
  }
  const sidecar = await Sidecar.start(test, { source, target, poolSize: 10 })
  const readers = Array.from({ length: 8 }, () => new Reader(sidecar.url()))
  for (const reader of readers) await reader.start()
  const writers = await startWriters({ url: sidecar.url(), writers: 2, createTable: false })
  const reads = 'pontoon_route_reads_percent{service="orders"}'
  const onTarget = 'pontoon_transactions_total{service="orders",side="target"}'
  test.equal(await sidecar.metric(onTarget), 0)
  for (const percent of [50, 100, 0, 25]) {
    const { exit } = await sidecar.cli(`shift orders --reads ${percent}`)
    test.equal(exit, 0)
    test.equal(await sidecar.metric(reads), percent, `${percent}% shows at once`)
    await writers.untilAcknowledged(20)
    if (percent === 50) {
      await sidecar.until('read on target', async () => (await sidecar.metric(onTarget)) > 0)
    }
  }
  for (const reader of readers) await reader.stop()
  const report = await writers.stop({ checkUrl: source.url() })
  test.same(
    readers.flatMap((reader) => reader.errors),
    [],
  )
  test.ok(readers.every((reader) => reader.answered > 0))
  test.same(report.errors, [])
  test.same(report.lost, [])
  test.same(report.duplicated, [])
  test.equal(await target.query('SELECT count(*) FROM records').then(firstNumber), 0)
})

function firstNumber(rows: readonly Record<string, unknown>[]): number {
  return Number(Object.values(rows[0] ?? {})[0])
}

void t.test('metrics count exactly what was sent', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  const client = new Client({ connectionString: sidecar.url() })
  await client.connect()
  const names = {
    queries: 'pontoon_queries_total{service="orders",side="source"}',
    transactions: 'pontoon_transactions_total{service="orders",side="source"}',
    waits: 'pontoon_client_wait_seconds_count{service="orders"}',
    errors: 'pontoon_server_errors_total{service="orders",sqlstate_class="22"}',
  }
  const before = {
    queries: await sidecar.metric(names.queries),
    transactions: await sidecar.metric(names.transactions),
  }
  for (let number = 0; number < 7; number += 1) await client.query('SELECT 1')
  await client.query('BEGIN')
  await client.query('SELECT 1')
  await client.query('COMMIT')
  await test.rejects(client.query('SELECT 1/0'), { code: '22012' })
  test.equal((await sidecar.metric(names.queries)) - before.queries, 11)
  test.equal((await sidecar.metric(names.transactions)) - before.transactions, 9)
  test.equal(await sidecar.metric(names.errors), 1)
  test.equal(await sidecar.metric('pontoon_clients{service="orders",state="idle"}'), 1)
  await client.end()
  await sidecar.until(
    'gone',
    async () => (await sidecar.metric('pontoon_clients{service="orders",state="idle"}')) === 0,
  )
})

void t.test('a pause parks, waits for what runs, and lets go on in order', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  const running = new Client({ connectionString: sidecar.url() })
  const parked = new Client({ connectionString: sidecar.url() })
  await running.connect()
  await parked.connect()
  await running.query('BEGIN')
  const paused = await sidecar.cli('pause orders --for 30s --wait 50ms')
  test.equal(paused.exit, 5)
  test.match(paused.out, /1 session still holds a server/)
  const answer = parked.query('SELECT 42 AS answer')
  await sidecar.until('parked', async () => {
    const { json } = await sidecar.request('/v1/services/orders')
    return Object(json['gate']).parked === 1
  })
  await running.query('COMMIT')
  test.equal((await sidecar.cli('pause orders --for 30s')).exit, 0, 'drained now')
  test.equal((await sidecar.cli('resume orders')).exit, 0)
  test.match((await answer).rows, [{ answer: 42 }])
  await running.end()
  await parked.end()
})

void t.test('reconnect replaces the servers under a client that notices nothing', async (test) => {
  const sidecar = await Sidecar.start(test, { source, target })
  const client = new Client({ connectionString: sidecar.url() })
  await client.connect()
  const pid = async (): Promise<number> =>
    firstNumber((await client.query('SELECT pg_backend_pid()')).rows)
  const before = await pid()
  test.equal(await pid(), before)
  await sidecar.cli('reconnect orders')
  test.not(await pid(), before)
  await client.end()
})
