/** Cutovers and rollbacks of a live service through its admin API, on real servers. */
import tap, { type Test } from 'tap'
import { loadConfig } from '../../../../src/config/load.ts'
import { startRuntime, type Runtime } from '../../../../src/control/runtime.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { startWriters } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('cutover and rollback under load, one way at a time (15 to 15)', async (t) => {
  const pair = await SwitchPair.start()
  t.teardown(() => pair.stop())
  const runtime = await start(pair)
  t.teardown(() => runtime.stop('test', 0))
  const writers = await startWriters({ url: pair.url(), writers: 8, createTable: false })
  await until(() => writers.acknowledged > 100, 'writes go on')

  const dry = await runSwitch(pair.adminUrl, 'cutover', { dryRun: true })
  t.match(
    dry,
    { state: 'done', report: { dryRun: true, pauseMs: null } },
    JSON.stringify(dry.report),
  )
  t.ok((dry.report?.predictedPauseMs ?? 0) > 0)
  await refusesTheKeyOfAnother(t, pair)
  for (const kind of ['cutover', 'rollback'] as const) {
    const done = await runSwitch(pair.adminUrl, kind)
    t.equal(done.state, 'done', done.report?.reason ?? '')
    t.comment(`${kind}: ${done.report?.pauseMs} ms`)
    const before = writers.acknowledged
    await until(() => writers.acknowledged > before + 50, 'writes go on')
  }
  const report = await writers.stop({ checkUrl: pair.source.url('shop') })
  t.match(report, { lost: [], duplicated: [] })
  t.same(writers.errors, [])
})

async function start(pair: SwitchPair): Promise<Runtime> {
  const { config } = loadConfig([pair.configFile], {})
  const log = createLog('warn', { write: (line) => process.stderr.write(line) })
  return await startRuntime({ config, configFiles: [pair.configFile], log, clock: systemClock })
}

/** A dry run must not be taken for the cutover that was asked for with its key. */
async function refusesTheKeyOfAnother(t: Test, { adminUrl }: SwitchPair): Promise<void> {
  const ask = async (dryRun: boolean): Promise<[number, string]> => {
    const answer = await fetch(`${adminUrl}/v1/services/orders/rollback`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'one' },
      body: JSON.stringify({ dryRun }),
    })
    const body: { id?: string; code?: string } = JSON.parse(await answer.text())
    return [answer.status, body.id ?? body.code ?? '']
  }
  const first = await ask(true)
  t.same(await ask(true), first, 'the same operation again')
  t.same(await ask(false), [400, 'BAD_REQUEST'])
}
