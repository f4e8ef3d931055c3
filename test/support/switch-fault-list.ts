/** What can break in the middle of a switch; switch-faults.ts breaks it. */
import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { switchLimits } from '../../src/control/limits.ts'
import type { Operation } from '../../src/control/switches.ts'
import type { FaultBench } from './switch-faults.ts'

const downMs = 2_000

type Side = 'source' | 'target'
type Fault = (bench: FaultBench, operation: Operation) => Promise<void>

/** Each ends with everything but the sidecar running again. */
export const faults: Readonly<Record<string, Fault>> = {
  'sidecar is killed': (bench) => bench.sidecar.kill9(),
  'sidecar is killed amid the step': async (bench) => {
    bench.sidecar.go()
    await sleep(Math.random() * 15)
    await bench.sidecar.kill9()
  },
  'source crashes': (bench) => crash(bench, 'source'),
  'target crashes': (bench) => crash(bench, 'target'),
  'source hangs': (bench) => hang(bench, 'source'),
  'target hangs': (bench) => hang(bench, 'target'),
  'network to source is cut': (bench) => cut(bench, 'sides', ['source']),
  'network to target is cut': (bench) => cut(bench, 'sides', ['target']),
  'network of replication is cut': (bench) => cut(bench, 'replication', ['source', 'target']),
  'sidecar and source are killed': async (bench) => {
    await Promise.all([bench.sidecar.kill9(), bench.pair.source.shutdown('immediate')])
    await bench.sidecar.start()
    await sleep(downMs)
    await bench.pair.source.restart()
  },
  'sidecar and target are killed': async (bench) => {
    await Promise.all([bench.sidecar.kill9(), bench.pair.target.shutdown('immediate')])
    await bench.sidecar.start()
    await sleep(downMs)
    await bench.pair.target.restart()
  },
  'operator aborts': async (bench, operation) => {
    await bench.abort(operation)
    bench.sidecar.go()
  },
  'deadline passes': async ({ sidecar }) => {
    await sleep(switchLimits.deadlineDefaultMs + 200)
    sidecar.go()
  },
  'state cannot be written': async ({ pair, sidecar }) => {
    // What is to become the file cannot be opened; a full disk is hard to come by.
    const inTheWay = join(pair.folder, 'state', 'state.json.tmp')
    mkdirSync(inTheWay)
    sidecar.go()
    await sleep(downMs)
    rmdirSync(inTheWay)
  },
  'a table is made': async (bench) => {
    const side = bench.pair[bench.primary]
    // Behind the fence it is refused, and nothing has happened.
    const make = 'CREATE TABLE made_meanwhile (id int PRIMARY KEY)'
    const isMade = await side.query(make, 'shop').then(
      () => true,
      () => false,
    )
    bench.sidecar.go()
    await sleep(downMs)
    if (isMade) await side.query('DROP TABLE made_meanwhile', 'shop')
  },
}

async function crash({ pair, sidecar }: FaultBench, side: Side): Promise<void> {
  await pair[side].shutdown('immediate')
  sidecar.go()
  await sleep(downMs)
  await pair[side].restart()
}

async function hang({ pair, sidecar }: FaultBench, side: Side): Promise<void> {
  pair[side].pause()
  sidecar.go()
  await sleep(downMs)
  pair[side].resume()
}

async function cut(
  { pair, sidecar }: FaultBench,
  which: 'sides' | 'replication',
  sides: readonly Side[],
): Promise<void> {
  const relays = sides.flatMap((side) => pair.network?.[which][side] ?? [])
  for (const relay of relays) {
    relay.refuse()
    relay.cut()
  }
  sidecar.go()
  await sleep(downMs)
  for (const relay of relays) relay.heal()
}
