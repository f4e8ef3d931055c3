/**
 * Cutovers and rollbacks one after the other while clients move money without a break: no error
 * may reach any of them, nothing acknowledged may be lost or doubled, the balances must add up.
 * Prints the pause of each switch: what the gate says, and the longest gap between two
 * acknowledgements that any client saw. PONTOON_SOAK_SWITCHES (default 20), PONTOON_SOAK_CLIENTS
 * (default 50) and PONTOON_SOAK_MAJORS (default `15 15`) say how.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import tap from 'tap'
import { startPontoon } from '../control/sidecar.ts'
import { runSwitch } from '../support/switch-operation.ts'
import { balanceEach, SwitchPair } from '../support/switch-pair.ts'
import { TransferClients } from '../support/transfer-clients.ts'
import { majorOf } from '../support/postgres-binaries.ts'
import { until } from '../support/until.ts'

const count = Number(process.env['PONTOON_SOAK_SWITCHES'] ?? 20)
const clients = Number(process.env['PONTOON_SOAK_CLIENTS'] ?? 50)
const [source, target] = (process.env['PONTOON_SOAK_MAJORS'] ?? '15 15').split(' ').map(majorOf)
const accounts = 10_000

tap.setTimeout(3_600_000)

await tap.test('switches under load', async (t) => {
  const pair = await SwitchPair.start({ source: source ?? 15, target: target ?? 15, accounts })
  t.teardown(() => pair.stop())
  const sidecar = await startPontoon(['serve', '--config', pair.configFile])
  t.teardown(() => void process.kill(sidecar.pid, 'SIGTERM'))
  await until(() => isReady(pair), 'the sidecar is ready', 20_000)
  const load = new TransferClients({ url: pair.url(), clients, accounts })
  await until(() => load.acknowledged > 1_000, 'the load is up', 60_000)
  const pauses: number[] = []
  for (let index = 0; index < count; index += 1) {
    const kind = index % 2 === 0 ? 'cutover' : 'rollback'
    const beganMs = performance.now()
    const before = load.acknowledged
    await sleep(2_000)
    const tps = ((load.acknowledged - before) / (performance.now() - beganMs)) * 1_000
    load.takeLongestGapMs()
    const done = await runSwitch(pair.adminUrl, kind)
    const acknowledged = load.acknowledged
    await until(() => load.acknowledged > acknowledged + clients, 'writes go on')
    await sleep(200)
    const gapMs = load.takeLongestGapMs()
    t.equal(done.state, 'done', done.report?.reason ?? '')
    pauses.push(gapMs)
    const steps = done.steps.map(({ step, tookMs }) => `${step} ${tookMs.toFixed(0)}`).join(', ')
    t.comment(
      `${index + 1} ${kind}: ${tps.toFixed(0)} TPS before, gate ${done.report?.pauseMs?.toFixed(0)} ms, ` +
        `longest gap ${gapMs.toFixed(0)} ms (${steps})`,
    )
  }
  const primary = count % 2 === 0 ? pair.source : pair.target
  const report = await load.stop(primary.url('shop'))
  t.same(
    report.errors.map(({ message }) => message),
    [],
    'no client met an error',
  )
  t.match(report, { lost: [], duplicated: [], unexpected: [], balance: accounts * balanceEach })
  const sorted = pauses.toSorted((a, b) => a - b)
  t.comment(
    `${count} switches, ${report.acknowledged} transactions: median gap ` +
      `${sorted[Math.floor(count / 2)]?.toFixed(0)} ms, longest ${sorted.at(-1)?.toFixed(0)} ms`,
  )
})

async function isReady({ adminUrl }: SwitchPair): Promise<boolean> {
  const answer = await fetch(`${adminUrl}/health/ready`).catch(() => undefined)
  return answer?.status === 200
}
