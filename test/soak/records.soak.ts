/**
 * Applications write numbered records through Pontoon for a long time while everything around it
 * breaks again and again. After each fault writing must go on; at the end nothing acknowledged may
 * be lost or doubled, no server may be held, and memory must not have grown without bound.
 * PONTOON_SOAK_SECONDS sets the duration (default 600).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import tap from 'tap'
import { startPontoon } from '../support/pontoon.ts'
import { startPostgres } from '../support/postgres.ts'
import { startWriters } from '../support/record-client.ts'
import type { Writers } from '../support/record-client.ts'
import { startRelay } from '../support/relay.ts'

const durationMs = Number(process.env['PONTOON_SOAK_SECONDS'] ?? 600) * 1_000
const modes = ['autocommit', 'transaction', 'prepared'] as const
const rssGrowthBytesMax = 256 * 1024 * 1024
const betweenFaults = 100

const server = await startPostgres({ major: 15 })
const towardsServer = await startRelay({ to: server })
const source = { host: towardsServer.host, port: towardsServer.port, password: server.password }
const pontoon = await startPontoon({ source })
const towardsPontoon = await startRelay({ to: pontoon })
tap.teardown(async () => {
  await towardsPontoon.close()
  await pontoon.stop()
  await towardsServer.close()
  await server.stop()
})
const url = pontoon.url().replace(`:${pontoon.port}/`, `:${towardsPontoon.port}/`)

const faults: Readonly<Record<string, () => void | Promise<void>>> = {
  'clients are cut': () => void towardsPontoon.cut(),
  'servers are cut': () => void towardsServer.cut(),
  'answers stall': async () => {
    towardsServer.stall('down')
    await sleep(300)
    towardsServer.resume('down')
  },
  'the network is slow and cuts messages up': async () => {
    towardsServer.delay(10)
    towardsServer.splitEvery(7)
    towardsPontoon.splitEvery(3, 'up')
    await sleep(500)
    towardsServer.heal()
    towardsPontoon.heal()
  },
  'the service is paused': async () => {
    await pontoon.service.pause(2_000, 1_000, 'soak')
    await sleep(300)
    pontoon.service.resume()
  },
  'servers are renewed': () => pontoon.service.reconnect(),
  'the database hangs': async () => {
    server.pause()
    await sleep(300)
    server.resume()
  },
  'new servers are refused': async () => {
    towardsServer.refuse()
    towardsServer.cut()
    await sleep(300)
    towardsServer.heal()
  },
  'the database crashes': async () => {
    await server.kill9()
    await server.restart()
  },
}

tap.setTimeout(durationMs + 300_000)
await tap.test('nothing acknowledged is lost or doubled', async (t) => {
  const writers: Writers[] = []
  for (const mode of modes) {
    writers.push(await startWriters({ url, table: mode, mode, writers: 4, intervalMs: 5 }))
  }
  const allGoOn = (): Promise<void[]> =>
    Promise.all(writers.map((some) => some.untilAcknowledged(betweenFaults)))
  await allGoOn()

  const endMs = performance.now() + durationMs
  let rssBefore = 0
  let rounds = 0
  for (; performance.now() < endMs; rounds += 1) {
    for (const [name, fault] of Object.entries(faults)) {
      await fault()
      await t.resolves(allGoOn(), `round ${rounds + 1}, after ${name}, writing goes on`)
    }
    // The first rounds fill caches and pools.
    if (rounds === 2) rssBefore = process.memoryUsage.rss()
  }

  for (const [index, mode] of modes.entries()) {
    const report = await writers[index]?.stop({ checkUrl: server.url() })
    t.same([report?.lost, report?.duplicated, report?.unexpected], [[], [], []], mode)
    t.comment(
      `${mode}: ${report?.acknowledged} acknowledged, ${report?.errors.length} errors, ` +
        `longest gap ${Math.round(report?.longestGapMs ?? 0)} ms`,
    )
  }
  await pontoon.untilIdle()
  const grown = process.memoryUsage.rss() - rssBefore
  if (rssBefore > 0) t.ok(grown < rssGrowthBytesMax, `memory grew by ${grown} bytes`)
})
