/**
 * A side that has hardly room for the servers of one pool: for two seconds behind a commit those for
 * reads there, which serve nobody any more, are in the way of those for writes. Clients wait for
 * them, and get no error.
 */
import { Client } from 'pg'
import tap from 'tap'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { pontoon } from '../../../cli/capture.ts'
import { startWriters } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const size = 10
/** Of Pontoon's own roles, reads left out; three are kept for superusers, of which control is one. */
const others = 8

/** Asks as fast as it is answered. */
class Reader {
  #isStopping = false
  readonly #ended: Promise<string>

  private constructor(client: Client) {
    this.#ended = this.#run(client)
  }

  static async start(url: string): Promise<Reader> {
    const client = new Client(url)
    await client.connect()
    return new Reader(client)
  }

  /** The words of its error, if it has met any. */
  async stop(): Promise<string> {
    this.#isStopping = true
    return await this.#ended
  }

  async #run(client: Client): Promise<string> {
    try {
      while (!this.#isStopping)
        await client.query(
          'SELECT count(*) FROM accounts a, accounts b, accounts c WHERE c.id < 20',
        )
      return ''
    } catch (error) {
      return String(error)
    } finally {
      await client.end()
    }
  }
}

await tap.test('a side that is full behind a commit', async (t) => {
  const pair = await SwitchPair.start({ source: 15, target: 15, poolSize: size })
  t.teardown(() => pair.stop())
  const { config, configFile, source, target } = pair
  for (const server of [source, target]) await server.query('GRANT pg_read_all_data, app TO reader')
  await target.query(`ALTER SYSTEM SET max_connections = ${size + others}`)
  await target.query('ALTER SYSTEM SET max_wal_senders = 5')
  await target.restart()
  const log = createLog('error', { write: (line) => process.stderr.write(line) })
  const runtime = await startRuntime({ config, configFiles: [configFile], log, clock: systemClock })
  t.teardown(() => runtime.stop('test', 0))
  const shifted = await pontoon(['shift', 'orders', '--reads', '100', '--admin', pair.adminUrl], {})
  t.equal(shifted.exit, 0, shifted.err)

  const readers = await Promise.all(Array.from({ length: size }, () => Reader.start(pair.url())))
  const holds = async (): Promise<boolean> => {
    const [found] = await target.query(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'reader'",
    )
    return Number(found?.['n']) === size
  }
  await until(holds, 'reads have all their servers on the target')
  const writers = await startWriters({ url: pair.url(), writers: size, createTable: false })
  await writers.untilAcknowledged(50)
  const refusedOf = async (): Promise<number> => {
    const metrics = await (await fetch(`${pair.adminUrl}/metrics`)).text()
    const name =
      /^pontoon_server_open_errors_total\{(?=.*"target")(?=.*SERVER_UNAVAILABLE).*\} (\d+)/m
    return Number(name.exec(metrics)?.[1] ?? 0)
  }
  const before = await refusedOf()
  const done = await runSwitch(pair.adminUrl, 'cutover')
  t.equal(done.state, 'done', done.report?.reason ?? '')
  await writers.untilAcknowledged(50)
  for (const reader of readers) t.equal(await reader.stop(), '', 'no reader has met an error')
  t.match(await writers.stop(), { lost: [], duplicated: [], errors: [] })
  t.ok((await refusedOf()) > before, 'the side was full')
})
