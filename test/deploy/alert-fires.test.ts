/**
 * Prometheus scrapes a live sidecar with the alerts of deploy/, only their times shortened: a
 * database is killed, PontoonSideUnreachable fires; it comes back, the alert clears.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import { z } from 'zod'
import { ensureTools } from '../../scripts/lib/requirements.ts'
import { Sidecar } from '../control/sidecar.ts'
import { projectRoot } from '../packaging/rehearsal.ts'
import { startChild } from '../support/child-processes.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/pontoon.ts'
import { startPostgres } from '../support/postgres.ts'

const deadlineMs = 90_000
const answer = z.object({
  data: z.object({
    alerts: z.array(z.object({ state: z.string(), labels: z.record(z.string(), z.string()) })),
  }),
})

void t.test('an alert fires when a database dies and clears when it is back', async (test) => {
  await ensureTools(['prometheus'])
  const [source, target] = await Promise.all([
    startPostgres({ major: 15 }),
    startPostgres({ major: 17 }),
  ])
  test.teardown(() => Promise.all([source.stop(), target.stop()]))
  const probe = await freePort()
  const extra = `probe: { listen: 127.0.0.1:${probe} }`
  const sidecar = await Sidecar.start(test, { source, target, extra })
  const firing = await startPrometheus(test.testdir({}), probe, (end) => test.teardown(end))
  const stop = keepConnecting(sidecar.url())
  test.teardown(stop)
  await until(async () => (await firing()) !== undefined, 'Prometheus answers', deadlineMs)
  await source.kill9()
  const unreachable = async (): Promise<boolean> =>
    (await firing())?.some(
      ({ alertname, side, service }) =>
        alertname === 'PontoonSideUnreachable' && side === 'source' && service === 'orders',
    ) === true
  await until(unreachable, 'the alert fires', deadlineMs)
  await source.restart()
  await until(async () => !(await unreachable()), 'the alert clears', deadlineMs)
  test.equal((await sidecar.request('/health/live')).status, 200, 'the sidecar lived through it')
})

type Labels = Readonly<Record<string, string>>

/** Gives the labels of what fires now, undefined while Prometheus does not answer yet. */
async function startPrometheus(
  folder: string,
  probe: number,
  teardown: (end: () => void) => void,
): Promise<() => Promise<readonly Labels[] | undefined>> {
  const rules = readFileSync(join(projectRoot, 'deploy/prometheus/alerts.yml'), 'utf8')
  const quick = rules.replaceAll(/for: \w+/g, 'for: 1s').replaceAll('[2m]', '[10s]')
  writeFileSync(join(folder, 'alerts.yml'), quick)
  writeFileSync(
    join(folder, 'prometheus.yml'),
    `global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms }
rule_files: [alerts.yml]
scrape_configs:
  - { job_name: pontoon, static_configs: [{ targets: ['127.0.0.1:${probe}'] }] }
`,
  )
  mkdirSync(join(folder, 'data'))
  const port = await freePort()
  const child = await startChild(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { env: process.env },
  )
  teardown(() => void child.process.kill('SIGKILL'))
  return async () => {
    const url = `http://127.0.0.1:${port}/api/v1/alerts`
    const got = await fetch(url).catch(() => undefined)
    if (got?.status !== 200) return undefined
    const { alerts } = answer.parse(await got.json()).data
    return alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels)
  }
}

/** An application that comes again and again; its errors are its own. */
function keepConnecting(url: string): () => Promise<void> {
  const stopping = new AbortController()
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const client = new Client({ connectionString: url })
      client.on('error', () => undefined)
      await client
        .connect()
        .then(() => client.query('SELECT 1'))
        .catch(() => undefined)
      await client.end().catch(() => undefined)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  const running = loop()
  return async () => {
    stopping.abort()
    await running
  }
}
