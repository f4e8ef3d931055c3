/** What the server that is to receive the way back must have left for it, where that has run out. */
import tap, { type Test } from 'tap'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import { fullForWorker } from '../../../../src/migration/pg/server-limits.ts'
import type { Captured } from '../../../cli/capture.ts'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

/** Another database of the source receives from the target's server: a worker, a process, an origin. */
async function receiveElsewhere({ pair }: OperatedPair): Promise<void> {
  const { source, target } = pair
  for (const server of [source, target]) {
    await server.query('CREATE DATABASE elsewhere')
    await server.query('CREATE TABLE t (id int PRIMARY KEY)', 'elsewhere')
  }
  await target.query('CREATE PUBLICATION p FOR TABLE t', 'elsewhere')
  const to = `host=127.0.0.1 port=${target.port} user=postgres password=postgres dbname=elsewhere`
  await source.query(
    `CREATE SUBSCRIPTION s CONNECTION '${to}' PUBLICATION p WITH (copy_data = false)`,
    'elsewhere',
  )
}

class Limited {
  readonly operated: OperatedPair

  constructor(operated: OperatedPair) {
    this.operated = operated
  }

  /** The source begins anew, and the other subscription gets its worker first. */
  async set(parameter: string, value: number): Promise<void> {
    const { source, target } = this.operated.pair
    await this.forgetWayBack()
    await source.query(`ALTER SYSTEM SET ${parameter} = ${value}`)
    await source.restart()
    const streams = async (): Promise<boolean> =>
      (await target.query("SELECT FROM pg_stat_replication WHERE application_name = 's'"))
        .length === 1
    await until(streams, 'the other subscription has a worker')
  }

  async forgetWayBack(): Promise<void> {
    const { operated } = this
    const name = 'pontoon_orders_reverse'
    if (!(await operated.subscriptionsOf('source')).includes(name)) return
    await operated.loseSubscription('source', name)
    await operated.onSide(
      'target',
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${name}'`,
    )
    const drop = `SELECT pg_drop_replication_slot('${name}')`
    const isGone = async (): Promise<boolean> =>
      operated.onSide('target', drop).then(
        () => true,
        () => false,
      )
    await until(isGone, 'its slot is gone')
  }

  async reset(parameter: string): Promise<void> {
    await this.operated.pair.source.query(`ALTER SYSTEM RESET ${parameter}`)
  }
}

for (const { major, limits } of [
  {
    major: 15,
    limits: [
      ['max_worker_processes', 2],
      // It has its slots as well: the one that the target reads.
      ['max_replication_slots', 1],
    ],
  },
  {
    major: 18,
    limits: [
      ['max_worker_processes', 2],
      ['max_active_replication_origins', 1],
      ['max_logical_replication_workers', 1],
    ],
  },
] as const) {
  await tap.test(`a source that has no room left, ${major}`, async (t) => {
    const operated = await OperatedPair.start(t, { source: major, target: major })
    await receiveElsewhere(operated)
    const limited = new Limited(operated)
    const rehearse = (): Promise<Captured> => operated.ask('cutover', '--dry-run')
    for (const [parameter, value] of limits) {
      await limited.set(parameter, value)
      const refused = await rehearse()
      t.equal(refused.exit, 3, parameter)
      const words = `${parameter} of the source is ${value} and has to be ${value + 1} at least`
      t.match(refused.out, `REFUSED room: the way back finds no room: ${words} (${value} in use);`)
      await limited.set(parameter, value + 1)
      t.match(await rehearse(), { exit: 0 }, `${parameter}: that is enough`)
      t.match(await rehearse(), { exit: 0 }, `${parameter}: also once it is in use by the way back`)
      await limited.reset(parameter)
    }
    if (major === 18) await seenByOthers(t, limited)
  })
}

/** Without the right to see which origins are in use, those that there are count. */
async function seenByOthers(t: Test, limited: Limited): Promise<void> {
  const { pair } = limited.operated
  await limited.set('max_active_replication_origins', 1)
  await pair.source.query(
    "CREATE ROLE onlooker LOGIN PASSWORD 'onlooker'; GRANT pg_monitor TO onlooker",
  )
  const controlUser = { user: 'onlooker', password: 'onlooker' }
  const { config } = pair.context
  const context = {
    ...pair.context,
    config: { ...config, source: { ...config.source, controlUser } },
  }
  await pair.source.query('GRANT CONNECT ON DATABASE shop TO onlooker')
  const client = await connectAs(context, { side: 'source', purpose: 'control', task: 'test' })
  t.teardown(() => client.close())
  t.match(await fullForWorker(client, []), [
    { parameter: 'max_active_replication_origins', value: 1, used: 1, isGuess: true },
  ])
  await pair.source.query(
    'GRANT EXECUTE ON FUNCTION pg_show_replication_origin_status() TO onlooker',
    'shop',
  )
  t.match(await fullForWorker(client, []), [{ used: 1, isGuess: false }])
}
