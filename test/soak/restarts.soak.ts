/**
 * Applications write numbered records through a sidecar of its own process while that process and
 * the database are killed (SIGKILL) and the network between all of them is cut, again and again.
 * Every acknowledged record must be there exactly once. Neighbour: records.soak.ts, faults around a
 * Pontoon that lives. PONTOON_SOAK_SECONDS sets the duration (default 300).
 */
import tap from 'tap'
import { Sidecar } from '../control/sidecar.ts'
import { freePort } from '../support/free-port.ts'
import { startPostgres } from '../support/postgres.ts'
import { startWriters } from '../support/record-client.ts'
import type { Writers } from '../support/record-client.ts'
import { startRelay } from '../support/relay.ts'

const durationMs = Number(process.env['PONTOON_SOAK_SECONDS'] ?? 300) * 1_000
const modes = ['autocommit', 'transaction', 'prepared'] as const
const betweenFaults = 50

tap.setTimeout(durationMs + 300_000)
const server = await startPostgres({ major: 15 })
const towardsServer = await startRelay({ to: server })
tap.teardown(async () => {
  await towardsServer.close()
  await server.stop()
})

await tap.test('whoever is killed, nothing acknowledged is lost or doubled', async (t) => {
  const sidecar = await Sidecar.start(t, {
    source: { port: towardsServer.port, password: server.password },
    target: { port: await freePort(), password: server.password },
  })
  const towardsSidecar = await startRelay({ to: { host: '127.0.0.1', port: sidecar.port } })
  t.teardown(() => towardsSidecar.close())
  const url = sidecar.url().replace(`:${sidecar.port}/`, `:${towardsSidecar.port}/`)

  const faults: Readonly<Record<string, () => unknown>> = {
    'Pontoon is killed': async () => {
      await sidecar.kill('SIGKILL')
      await sidecar.start()
    },
    'the database is killed': async () => {
      await server.kill9()
      await server.restart()
    },
    'both are killed': async () => {
      await Promise.all([sidecar.kill('SIGKILL'), server.kill9()])
      await server.restart()
      await sidecar.start()
    },
    'Pontoon is told to end': async () => {
      await sidecar.kill('SIGTERM')
      await sidecar.start()
    },
    'the network is cut on both legs': () => [towardsSidecar.cut(), towardsServer.cut()],
    'answers are lost on their way to clients': () => {
      towardsSidecar.dropAfterBytes(500, 'down')
      towardsSidecar.cut()
      towardsSidecar.heal()
    },
  }

  const writers: Writers[] = []
  for (const mode of modes)
    writers.push(await startWriters({ url, table: mode, mode, writers: 3, timeoutMs: 10_000 }))
  const allGoOn = (): Promise<void[]> =>
    Promise.all(writers.map((some) => some.untilAcknowledged(betweenFaults, 60_000)))
  await allGoOn()
  const endMs = performance.now() + durationMs
  for (let round = 1; performance.now() < endMs; round += 1) {
    for (const [name, fault] of Object.entries(faults)) {
      await fault()
      await t.resolves(allGoOn(), `round ${round}, after this writing goes on: ${name}`)
    }
  }
  for (const [index, mode] of modes.entries()) {
    const report = await writers[index]?.stop({ checkUrl: server.url() })
    t.same([report?.lost, report?.duplicated, report?.unexpected], [[], [], []], mode)
    t.comment(
      `${mode}: ${report?.acknowledged} acknowledged, ${report?.storedUnacknowledged} stored ` +
        `without a word, ${report?.errors.length} errors`,
    )
  }
})
