/** What the tests of forced switches share: a pair of real servers and a control plane that knows it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime, type Runtime } from '../../src/control/runtime.ts'
import type { Operation } from '../../src/control/switches.ts'
import type { StepName } from '../../src/migration/pg/switch/model.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { parseState } from '../../src/store/state-format.ts'
import { runSwitch } from './switch-operation.ts'
import { SwitchPair, type PairOptions } from './switch-pair.ts'
import { until } from './until.ts'

export interface ForcedSwitches {
  readonly pair: SwitchPair
  readonly runtime: Runtime
  readonly logged: string[]
  before: (step: StepName) => Promise<void> | void
}

export async function startForcedSwitches(
  t: Test,
  options: PairOptions = {},
): Promise<ForcedSwitches> {
  const pair = await SwitchPair.start({ source: 17, target: 17, ...options })
  t.teardown(() => pair.stop())
  const { config } = loadConfig([pair.configFile], {})
  const logged: string[] = []
  const made = { before: (): void => undefined } satisfies Pick<ForcedSwitches, 'before'>
  const runtime = await startRuntime({
    config,
    configFiles: [pair.configFile],
    log: createLog('warn', { write: (line) => void logged.push(line) }),
    clock: systemClock,
    beforeStep: (step) => whole.before(step),
  })
  const whole: ForcedSwitches = { ...made, pair, runtime, logged }
  t.teardown(() => runtime.stop('test', 0))
  return whole
}

export const forced = (
  pair: SwitchPair,
  kind: 'cutover' | 'rollback',
  body = {},
): Promise<Operation> => runSwitch(pair.adminUrl, kind, { primaryLost: true, ...body })

export function lossOf({ report }: Operation): string {
  return report?.guards.find(({ name }) => name === 'loss')?.text ?? ''
}

export function stateOf({ folder }: SwitchPair): ReturnType<typeof parseState> {
  const file = join(folder, 'state', 'state.json')
  return parseState(readFileSync(file, 'utf8'), file)
}

/** A client of Pontoon writes as soon as it can. */
export async function write(pair: SwitchPair): Promise<void> {
  await until(() => isWritable(pair), 'a write is acknowledged', 30_000)
}

async function isWritable(pair: SwitchPair): Promise<boolean> {
  const client = new Client({ connectionString: pair.url(), query_timeout: 5_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('INSERT INTO records (writer, number) VALUES (77, 1)')
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
