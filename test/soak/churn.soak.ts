/**
 * Half an hour of clients that come, ask, fail, cancel, listen, vanish. Afterwards resident memory
 * must be what it was after the warm-up, and no client, server, listener or timer may be left.
 * PONTOON_SOAK_SECONDS sets the duration (default 1800), PONTOON_SOAK_RATE the actions per second
 * (default 60). Pontoon runs in this process, so that its inside can be looked at, the clients in
 * another.
 */
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import tap from 'tap'
import { startChild } from '../support/child-processes.ts'
import { startPontoon } from '../support/pontoon.ts'
import { startPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'

const durationMs = Number(process.env['PONTOON_SOAK_SECONDS'] ?? 1_800) * 1_000
const rate = process.env['PONTOON_SOAK_RATE'] ?? '60'
/** A third of the time, for caches, pools and the heap to reach their sizes. */
const warmUpShare = 1 / 3
const grownShareMax = 0.1
const grownBytesMax = 16 * 1024 * 1024
const size = 8
const clientsFile = fileURLToPath(new URL('fixtures/churn-clients.ts', import.meta.url))

tap.setTimeout(durationMs + 300_000)
const server = await startPostgres({ major: 15, auth: 'trust' })
await server.query('CREATE TABLE churned (word text)')
// They may all wait behind slow ones on a loaded machine.
const pool = { size, queueTimeoutMs: 60_000, queueMax: 1_000 }
const pontoon = await startPontoon({ source: server, pool })
tap.teardown(async () => {
  await pontoon.stop()
  await server.stop()
})

/** How many of each kind of handle and timer this process holds. */
function resources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

const median = (figures: readonly number[]): number =>
  figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? 0

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Connections of ours, as the server counts them. */
async function serverSide(): Promise<number> {
  const [row] = await server.query<{ count: number }>(
    `SELECT count(*)::int FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  )
  return row?.count ?? 0
}

await tap.test('churn', async (t) => {
  const before = resources()
  const child = await startChild(
    process.execPath,
    ['--import=tsx', clientsFile, String(pontoon.port), rate],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const { stdin, stdout } = child.process
  if (stdin === null || stdout === null) throw new Error('the clients have no pipes')
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const samples: number[] = []
  const everyMs = Math.max(250, durationMs / 600)
  const endMs = performance.now() + durationMs
  while (performance.now() < endMs) {
    await sleep(everyMs)
    if (!child.isRunning()) throw new Error('the clients have ended')
    samples.push(process.memoryUsage.rss())
  }
  stdin.end()
  const { value } = await lines.next()
  await child.exited
  const report: unknown = JSON.parse(String(value))
  t.comment(JSON.stringify(report))
  t.match(report, { failures: [] }, 'nothing went wrong unexpectedly')

  const warm = samples.slice(Math.floor(samples.length * warmUpShare))
  const fifth = Math.ceil(warm.length / 5)
  const [first, last] = [median(warm.slice(0, fifth)), median(warm.slice(-fifth))]
  const words = `${megabytes(first)} after the warm-up, ${megabytes(last)} at the end`
  t.ok(last < first * (1 + grownShareMax) + grownBytesMax, words)

  await pontoon.untilIdle(30_000)
  const { clients, pinned } = pontoon.service.snapshot()
  t.strictSame([clients.idle, clients.pinned, pinned], [0, 0, {}], 'no client is left')
  t.ok(pontoon.servers() <= size, `${pontoon.servers()} servers`)
  // The shared listener goes a while after the last who listened.
  await until(async () => (await serverSide()) <= pontoon.servers() + 1, 'no lost server', 60_000)
  pontoon.service.reconnect()
  await until(() => pontoon.servers() === 0, 'all idle servers to be closed', 30_000)
  await until(async () => (await serverSide()) <= 1, 'the server to see it', 60_000)
  const kinds = ['TCPSocketWrap', 'Timeout', 'Immediate', 'PipeWrap'] as const
  await until(
    () => kinds.every((kind) => (resources()[kind] ?? 0) <= (before[kind] ?? 0) + 1),
    `what is open now, ${JSON.stringify(resources())}, to be as before, ${JSON.stringify(before)}`,
    60_000,
  )
  t.pass('no socket and no timer is left')
})
