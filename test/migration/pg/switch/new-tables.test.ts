/**
 * Tables that come while both directions of sync are kept (16 and newer): the one that sends nothing
 * yet has to learn of them too, or what is written to them does not come back.
 */
import { Client } from 'pg'
import tap from 'tap'
import { pontoon } from '../../../cli/capture.ts'
import { controlQuery } from '../../../support/control-query.ts'
import { startForcedSwitches } from '../../../support/forced-switches.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import type { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a table that is made after the way back was armed', async (t) => {
  const { pair } = await startForcedSwitches(t)
  await isSwitched(pair, 'cutover', { dryRun: true })
  await make(pair, 'later')
  await write(pair, 'later', 1)
  await isSwitched(pair, 'cutover')
  await write(pair, 'later', 2)
  await isSwitched(pair, 'rollback')
  t.same(await pair.source.query('SELECT id FROM later ORDER BY 1', 'shop'), [{ id: 1 }, { id: 2 }])

  await t.test('and one that the other direction had before', async (again) => {
    await isSwitched(pair, 'cutover')
    await make(pair, 'latest')
    await write(pair, 'latest', 1)
    await isSwitched(pair, 'rollback')
    await write(pair, 'latest', 2)
    await isSwitched(pair, 'cutover')
    const rows = await pair.target.query('SELECT id FROM latest ORDER BY 1', 'shop')
    again.same(rows, [{ id: 1 }, { id: 2 }])
  })
})

await tap.test('a table that is published, and that the subscription does not know', async (t) => {
  const { pair } = await startForcedSwitches(t)
  await makeOnBoth(pair, 'unknown')
  await pair.source.query('ALTER PUBLICATION pontoon_orders_forward ADD TABLE unknown', 'shop')
  await write(pair, 'unknown', 1)
  t.match(await runSwitch(pair.adminUrl, 'cutover'), {
    state: 'refused',
    report: { reason: /public\.unknown .*subscription.*pontoon sync/ },
  })
  const shown = await pontoon(['sync', 'orders', '--once', '--config', pair.configFile], {})
  t.match(shown.out, /public\.unknown/, 'it is not called well')
  await sync(pair)
  await isSwitched(pair, 'cutover')
  t.same(await pair.target.query('SELECT id FROM unknown', 'shop'), [{ id: 1 }])
})

async function make(pair: SwitchPair, table: string): Promise<void> {
  await makeOnBoth(pair, table)
  await sync(pair)
}

async function makeOnBoth({ source, target }: SwitchPair, table: string): Promise<void> {
  for (const server of [source, target])
    await controlQuery(
      server,
      `BEGIN READ WRITE; SET LOCAL ROLE app; CREATE TABLE public.${table} (id int PRIMARY KEY); COMMIT`,
    )
}

async function sync({ configFile }: SwitchPair): Promise<void> {
  const { exit, out, err } = await pontoon(['sync', 'orders', '--config', configFile], {})
  if (exit !== 0) throw new Error(out + err)
}

async function write(pair: SwitchPair, table: string, id: number): Promise<void> {
  const client = new Client(pair.url())
  await client.connect()
  await client.query(`INSERT INTO ${table} VALUES (${id})`)
  await client.end()
}

/** Refused for a moment, as while the server copies a new table, it is asked for again. */
async function isSwitched(
  { adminUrl }: SwitchPair,
  kind: 'cutover' | 'rollback',
  body: object = {},
): Promise<void> {
  let reason = ''
  await until(async () => {
    const { state, report } = await runSwitch(adminUrl, kind, body)
    reason = report?.reason ?? state
    return state === 'done'
  }, `the ${kind} is done`).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${reason}`)
  })
}
