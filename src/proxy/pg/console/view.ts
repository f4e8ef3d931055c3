/** What the console may look at; service.ts gives it, the show files read it. */
import type { DatabaseTotals } from '../../service.ts'
import type { ServiceContext } from '../context.ts'
import type { PoolSet } from '../pool-set.ts'
import type { Session } from '../session.ts'
import type { ConsoleSession } from './session.ts'
import type { StatsWindow } from './stats-window.ts'

export interface ConsoleView {
  readonly context: ServiceContext
  readonly pools: PoolSet
  readonly sessions: ReadonlySet<Session>
  readonly consoles: ReadonlySet<ConsoleSession>
  /** What the consoles themselves have done. */
  readonly ownTotals: DatabaseTotals
  readonly averages: StatsWindow
  /** Version of this Pontoon. */
  readonly version: string
  /** Clients that have not logged in yet. */
  loginCount(): number
  listening(): readonly string[]
}

/** The name under which the console shows itself, as PgBouncer does. */
export const ownName = 'pgbouncer'

/** Databases that clients of this service have asked for or may ask for. */
export function databaseNames({ context }: ConsoleView): readonly string[] {
  const names = new Set(context.config.databases ?? [])
  for (const name of context.stats.databases.keys()) names.add(name)
  const { database } = context.config[context.route.primary]
  if (names.size === 0 && database !== undefined) names.add(database)
  return [...names]
}

export function listenPort(view: ConsoleView): number {
  const first = view.listening().find((address) => /:\d+$/.test(address))
  return Number(first?.split(':').at(-1) ?? 0)
}

/** Clock milliseconds as PgBouncer writes a time, always in UTC. */
export function timeText({ context: { clock } }: ConsoleView, atMs: number): string {
  const wallMs = clock.wallMs() - (clock.nowMs() - atMs)
  return `${new Date(wallMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** Whole seconds and the microseconds beyond them. */
export function secondsAndMicros(ms: number): readonly [number, number] {
  const micros = Math.max(0, Math.round(ms * 1_000))
  return [Math.floor(micros / 1_000_000), micros % 1_000_000]
}
