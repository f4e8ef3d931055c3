/** What can break in the middle of a switch; switch-faults.ts breaks it. */
import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { switchLimits } from '../../src/control/limits.ts'
import type { Operation } from '../../src/control/switches.ts'
import type { FaultBench } from './switch-faults.ts'
import type { Relay } from './relay.ts'

type Side = 'source' | 'target'

export interface Fault {
  /** So long it may keep clients from writing by itself. */
  readonly outageMs: number
  /** Nobody says that something is wrong, so a client may wait for an answer that never comes. */
  readonly isSilent: boolean
  /** Ends with everything but the sidecar running again. */
  run(bench: FaultBench, operation: Operation): Promise<void>
}

const shortMs = 2_000
/**
 * Within the deadline; past it and past what the gate is held shut for; past what an undo spends
 * on putting sync back, which is then left to the next switch.
 */
const outagesMs: readonly number[] = [shortMs, 20_000, 70_000]

/** Each stands for one fault of each length. */
const outages: Readonly<Record<string, (bench: FaultBench, forMs: number) => Promise<void>>> = {
  'source crashes': (bench, forMs) => crash(bench, ['source'], forMs),
  'target crashes': (bench, forMs) => crash(bench, ['target'], forMs),
  'source and target crash': (bench, forMs) => crash(bench, ['source', 'target'], forMs),
  'source hangs': (bench, forMs) => hang(bench, 'source', forMs),
  'target hangs': (bench, forMs) => hang(bench, 'target', forMs),
  'network to source is cut': (bench, forMs) => cut(bench, 'sides', ['source'], forMs),
  'network to target is cut': (bench, forMs) => cut(bench, 'sides', ['target'], forMs),
  'network to both is cut': (bench, forMs) => cut(bench, 'sides', ['source', 'target'], forMs),
  'network of replication is cut': (bench, forMs) =>
    cut(bench, 'replication', ['source', 'target'], forMs),
  'network to source swallows all': (bench, forMs) => swallow(bench, 'sides', ['source'], forMs),
  'network to target swallows all': (bench, forMs) => swallow(bench, 'sides', ['target'], forMs),
  'network of replication swallows all': (bench, forMs) =>
    swallow(bench, 'replication', ['source', 'target'], forMs),
  'sidecar is told to stop, source is killed': (bench, forMs) => stopAlso(bench, 'source', forMs),
  'sidecar is told to stop, target is killed': (bench, forMs) => stopAlso(bench, 'target', forMs),
  'sidecar and source are killed': (bench, forMs) => killAlso(bench, ['source'], forMs),
  'sidecar and target are killed': (bench, forMs) => killAlso(bench, ['target'], forMs),
  'all are killed': (bench, forMs) => killAlso(bench, ['source', 'target'], forMs),
}

const moments: Readonly<Record<string, Fault['run']>> = {
  'sidecar is killed': (bench) => bench.sidecar.kill9(),
  'sidecar is killed amid the step': async (bench) => {
    bench.sidecar.go()
    await sleep(Math.random() * 15)
    await bench.sidecar.kill9()
  },
  'sidecar is told to stop': async ({ sidecar }) => {
    const stopped = sidecar.terminate()
    sidecar.go()
    await stopped
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
    await sleep(shortMs)
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
    await sleep(shortMs)
    if (isMade) await side.query('DROP TABLE made_meanwhile', 'shop')
  },
}

/** By name; the longer outages end in ` for 20 s` and the like. */
export const faults: ReadonlyMap<string, Fault> = new Map([
  ...Object.entries(moments).map(
    ([name, run]) => [name, { outageMs: shortMs, isSilent: false, run }] as const,
  ),
  ...outagesMs.flatMap((forMs) =>
    Object.entries(outages).map(([name, run]) => {
      const length = forMs === shortMs ? '' : ` for ${forMs / 1_000} s`
      const isSilent = name.endsWith(' hangs') || name.endsWith(' swallows all')
      const fault: Fault = { outageMs: forMs, isSilent, run: (bench) => run(bench, forMs) }
      return [`${name}${length}`, fault] as const
    }),
  ),
])

async function crash(
  { pair, sidecar }: FaultBench,
  sides: readonly Side[],
  forMs: number,
): Promise<void> {
  await Promise.all(sides.map((side) => pair[side].kill9()))
  sidecar.go()
  await sleep(forMs)
  await Promise.all(sides.map((side) => pair[side].restart()))
}

/** What is to recover finds the databases down. */
async function killAlso(
  { pair, sidecar }: FaultBench,
  sides: readonly Side[],
  forMs: number,
): Promise<void> {
  await Promise.all([sidecar.kill9(), ...sides.map((side) => pair[side].kill9())])
  await sidecar.start()
  await sleep(forMs)
  await Promise.all(sides.map((side) => pair[side].restart()))
}

/** It goes away without having seen the end of it. */
async function stopAlso({ pair, sidecar }: FaultBench, side: Side, forMs: number): Promise<void> {
  await pair[side].kill9()
  const stopped = sidecar.terminate()
  sidecar.go()
  await stopped
  await sidecar.start()
  await sleep(forMs)
  await pair[side].restart()
}

async function hang({ pair, sidecar }: FaultBench, side: Side, forMs: number): Promise<void> {
  pair[side].pause()
  sidecar.go()
  await sleep(forMs)
  pair[side].resume()
}

async function cut(
  bench: FaultBench,
  ways: 'sides' | 'replication',
  sides: readonly Side[],
  forMs: number,
): Promise<void> {
  await disturb(bench, ways, sides, forMs, (relay) => {
    relay.refuse()
    relay.cut()
  })
}

/** No answer, no reset: what is sent is held up, as by a firewall that has lost its state. */
async function swallow(
  bench: FaultBench,
  ways: 'sides' | 'replication',
  sides: readonly Side[],
  forMs: number,
): Promise<void> {
  await disturb(bench, ways, sides, forMs, (relay) => relay.stall())
}

async function disturb(
  { pair, sidecar }: FaultBench,
  ways: 'sides' | 'replication',
  sides: readonly Side[],
  forMs: number,
  how: (relay: Relay) => void,
): Promise<void> {
  const relays = sides.flatMap((side) => pair.network?.[ways][side] ?? [])
  for (const relay of relays) how(relay)
  sidecar.go()
  await sleep(forMs)
  for (const relay of relays) relay.heal()
}
