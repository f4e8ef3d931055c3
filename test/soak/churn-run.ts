/**
 * Half an hour of clients that come, ask, fail, listen, vanish. Afterwards resident memory must be
 * what it was after the warm-up, and no client, server, listener or timer may be left.
 * PONTOON_SOAK_SECONDS sets the duration (default 1800), PONTOON_SOAK_RATE the actions per second
 * (default 60). Pontoon runs in this process, so that its inside can be looked at, the clients in
 * another (fixtures/*churn-clients.ts).
 */
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild } from '../support/child-processes.ts'
import { until } from '../support/until.ts'
import type { Service } from '../../src/proxy/service.ts'

export const durationMs = Number(process.env['PONTOON_SOAK_SECONDS'] ?? 1_800) * 1_000
const rate = process.env['PONTOON_SOAK_RATE'] ?? '60'

/** A third of the time, for caches, pools and the heap to reach their sizes. */
const warmUpShare = 1 / 3
const grownShareMax = 0.1
const grownBytesMax = 16 * 1024 * 1024

/** What a test of tap has of what is needed here. */
export interface Report {
  comment(words: string): void
  ok(holds: boolean, words: string): void
  strictSame(found: unknown, wanted: unknown, words: string): void
  pass(words: string): void
}

export interface Churned {
  readonly port: number
  readonly service: Service
  servers(): number
  untilIdle(deadlineMs?: number): Promise<void>
}

export interface ChurnOptions {
  /** The file in fixtures/ that has the clients. */
  readonly clients: string
  readonly serversMax: number
  /** Connections of ours, as the database counts them. */
  serverSide(): Promise<number>
  /** Of them may be left for a while: what listens for others. */
  readonly lingering: number
}

/** How many of each kind of handle and timer this process holds. */
function resources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

const median = (figures: readonly number[]): number =>
  figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? 0

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

export async function churn(t: Report, pontoon: Churned, options: ChurnOptions): Promise<void> {
  const before = resources()
  const { report, samples } = await run(pontoon.port, options)
  t.comment(JSON.stringify(report))
  // What matches an empty list has any length.
  const failures: unknown = Reflect.get(Object(report), 'failures')
  t.strictSame(failures, [], 'nothing went wrong unexpectedly')

  const warm = samples.slice(Math.floor(samples.length * warmUpShare))
  const fifth = Math.ceil(warm.length / 5)
  const [first, last] = [median(warm.slice(0, fifth)), median(warm.slice(-fifth))]
  const words = `${megabytes(first)} after the warm-up, ${megabytes(last)} at the end`
  t.ok(last < first * (1 + grownShareMax) + grownBytesMax, words)

  await pontoon.untilIdle(30_000)
  const { clients, pinned } = pontoon.service.snapshot()
  t.strictSame([clients.idle, clients.pinned, pinned], [0, 0, {}], 'no client is left')
  t.ok(pontoon.servers() <= options.serversMax, `${pontoon.servers()} servers`)
  const { lingering } = options
  const isFound = async (): Promise<boolean> =>
    (await options.serverSide()) <= pontoon.servers() + lingering
  await until(isFound, 'no lost server', 60_000)
  pontoon.service.reconnect()
  await until(() => pontoon.servers() === 0, 'all idle servers to be closed', 30_000)
  await until(async () => (await options.serverSide()) <= lingering, 'the server to see it', 60_000)
  const kinds = ['TCPSocketWrap', 'Timeout', 'Immediate', 'PipeWrap'] as const
  await until(
    () => kinds.every((kind) => (resources()[kind] ?? 0) <= (before[kind] ?? 0) + 1),
    `what is open now, ${JSON.stringify(resources())}, to be as before, ${JSON.stringify(before)}`,
    60_000,
  )
  t.pass('no socket and no timer is left')
}

async function run(
  port: number,
  { clients }: ChurnOptions,
): Promise<{ readonly report: unknown; readonly samples: readonly number[] }> {
  const file = fileURLToPath(new URL(`fixtures/${clients}`, import.meta.url))
  const child = await startChild(process.execPath, ['--import=tsx', file, String(port), rate], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
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
  return { report: JSON.parse(String(value)), samples }
}
