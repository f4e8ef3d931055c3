/** What changes while a switch is prepared, or since the way back was armed, and is not to be missed. */
import tap from 'tap'
import { controlQuery } from '../../../support/control-query.ts'
import { forced, startForcedSwitches } from '../../../support/forced-switches.ts'
import { runSwitch } from '../../../support/switch-operation.ts'

tap.setTimeout(280_000)

await tap.test('a switch whose sides are changed under it', async (whole) => {
  const made = await startForcedSwitches(whole)
  const { pair } = made
  const { source, target } = pair

  await whole.test('a column that is made behind the guards', async (t) => {
    made.before = async (step) => {
      if (step === 'proof') await source.query('ALTER TABLE accounts ADD late int', 'shop')
    }
    t.match(await runSwitch(pair.adminUrl, 'cutover'), {
      state: 'refused',
      report: { reason: /tables or sequences were changed since/ },
    })
    made.before = () => undefined
    t.match(await runSwitch(pair.adminUrl, 'cutover'), {
      state: 'refused',
      report: { reason: /column late .* is missing on the receiving side/ },
    })
    await source.query('ALTER TABLE accounts DROP late', 'shop')
  })

  await whole.test('a way back that was armed with a password of then', async (t) => {
    const armed = await runSwitch(pair.adminUrl, 'cutover', { dryRun: true })
    t.equal(armed.state, 'done', armed.report?.reason ?? '')
    const way = `host=127.0.0.1 port=${target.port} dbname=shop user=repl password=old`
    await source.query(
      `ALTER SUBSCRIPTION pontoon_orders_reverse CONNECTION '${way}'; SELECT
        pg_terminate_backend(pid) FROM pg_stat_subscription WHERE subname = 'pontoon_orders_reverse'`,
      'shop',
    )
    const again = await runSwitch(pair.adminUrl, 'cutover', { dryRun: true })
    t.equal(again.state, 'done', again.report?.reason ?? '')
  })

  await whole.test('a table that was never synced, when the source is lost', async (t) => {
    for (const server of [source, target])
      await controlQuery(
        server,
        'BEGIN READ WRITE; SET LOCAL ROLE app; CREATE TABLE public.alone (id int PRIMARY KEY); COMMIT',
      )
    await source.kill9()
    const { report } = await forced(pair, 'cutover', { dryRun: true })
    t.match(
      report?.guards.find(({ name }) => name === 'unsynced')?.text,
      /whatever they had on the source is missing: public\.alone$/,
    )
  })
})
