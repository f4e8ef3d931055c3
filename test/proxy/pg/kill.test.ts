/**
 * Pontoon's own process and the database are killed (SIGKILL) and the network is cut while
 * applications write: what was acknowledged is there, once. test/soak/restarts.soak.ts does this for
 * a long time.
 */
import t from 'tap'
import { Sidecar } from '../../control/sidecar.ts'
import { freePort } from '../../support/free-port.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startWriters } from '../../support/record-client.ts'
import { startRelay } from '../../support/relay.ts'

const server = await startPostgres({ major: 15 })
const relay = await startRelay({ to: server })
t.teardown(async () => {
  await relay.close()
  await server.stop()
})

await t.test('whoever is killed, nothing acknowledged is lost or doubled', async (test) => {
  const sidecar = await Sidecar.start(test, {
    source: { port: relay.port, password: server.password },
    target: { port: await freePort(), password: server.password },
  })
  const url = sidecar.url()
  const modes = ['transaction', 'prepared'] as const
  const writers = await Promise.all(
    modes.map((mode) => startWriters({ url, table: mode, mode, writers: 3, timeoutMs: 10_000 })),
  )
  const goOn = (): Promise<void[]> =>
    Promise.all(writers.map((some) => some.untilAcknowledged(30, 60_000)))
  await goOn()
  await sidecar.kill('SIGKILL')
  await sidecar.start()
  await goOn()
  await server.kill9()
  await server.restart()
  await goOn()
  relay.cut()
  await goOn()
  for (const some of writers) {
    const report = await some.stop({ checkUrl: server.url() })
    test.strictSame([report.lost, report.duplicated, report.unexpected], [[], [], []])
    test.ok(report.errors.length > 0, `${report.acknowledged} acknowledged, faults were met`)
  }
})
