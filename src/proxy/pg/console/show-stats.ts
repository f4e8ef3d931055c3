/** SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS. */
import type { DatabaseTotals } from '../../service.ts'
import { columnsOf, table, type Columns, type Row } from './result.ts'
import type { Change } from './stats-window.ts'
import { ownName, type ConsoleView } from './view.ts'

/** In PgBouncer's order; times in microseconds. */
function counts(totals: DatabaseTotals): readonly number[] {
  return [
    totals.serverLinks,
    totals.transactions,
    totals.queries,
    totals.bytesFromClients,
    totals.bytesToClients,
    micros(totals.linkedMs),
    // How long single queries of a transaction took is not measured.
    micros(totals.linkedMs),
    micros(totals.waitedMs),
    totals.clientParses,
    totals.serverParses,
    totals.binds,
  ]
}

/** Per second, except for the two durations: those are per transaction and per query. */
function averages(now: DatabaseTotals, { seconds, before }: Change): readonly number[] {
  const rates = counts(now).map((value, at) => (value - (counts(before)[at] ?? 0)) / seconds)
  const linkedMicros = micros(now.linkedMs - before.linkedMs)
  rates[5] = linkedMicros / Math.max(1, now.transactions - before.transactions)
  rates[6] = linkedMicros / Math.max(1, now.queries - before.queries)
  return rates.map(Math.round)
}

const names =
  'server_assignment_count xact_count query_count received sent xact_time query_time wait_time ' +
  'client_parse_count server_parse_count bind_count'
const bytesNames = names.replace('received sent', 'bytes_received bytes_sent')
const database: Columns = [['database', 'text']]

export function showStats(view: ConsoleView): Buffer[] {
  const columns = [
    ...database,
    ...columnsOf('numeric', prefixed('total_', names)),
    ...columnsOf('numeric', prefixed('avg_', names.replace('received', 'recv'))),
  ]
  return table(
    columns,
    rowsOf(view, (totals, change) => [...counts(totals), ...averages(totals, change)]),
  )
}

export function showStatsTotals(view: ConsoleView): Buffer[] {
  return table(
    [...database, ...columnsOf('numeric', bytesNames)],
    rowsOf(view, (totals) => counts(totals)),
  )
}

export function showStatsAverages(view: ConsoleView): Buffer[] {
  return table([...database, ...columnsOf('numeric', bytesNames)], rowsOf(view, averages))
}

export function showTotals(view: ConsoleView): Buffer[] {
  const labels = names.replace('received sent', 'client_bytes server_bytes')
  const totalNames = prefixed('total_', labels).split(' ')
  const averageNames = prefixed('avg_', labels).split(' ')
  const sums = (values: readonly (readonly number[])[]): readonly number[] =>
    totalNames.map((_name, at) => values.reduce((sum, row) => sum + (row[at] ?? 0), 0))
  const all = [...databases(view)]
  const totals = sums(all.map(([, one]) => counts(one)))
  const averaged = sums(all.map(([, one, change]) => averages(one, change)))
  const rows: Row[] = [
    ...totalNames.map((name, at) => [name, totals[at] ?? 0]),
    ...averageNames.map((name, at) => [name, averaged[at] ?? 0]),
  ]
  return table(
    [
      ['name', 'text'],
      ['value', 'numeric'],
    ],
    rows,
  )
}

function* databases(view: ConsoleView): Generator<readonly [string, DatabaseTotals, Change]> {
  const { context, averages: window, ownTotals } = view
  const now = context.clock.nowMs()
  for (const [name, totals] of context.stats.databases)
    yield [name, totals, window.since(now, name)]
  yield [ownName, ownTotals, window.since(now, ownName)]
}

function* rowsOf(
  view: ConsoleView,
  values: (totals: DatabaseTotals, change: Change) => readonly number[],
): Generator<Row> {
  for (const [name, totals, change] of databases(view)) yield [name, ...values(totals, change)]
}

function prefixed(prefix: string, list: string): string {
  return list
    .split(' ')
    .map((name) => prefix + name)
    .join(' ')
}

function micros(ms: number): number {
  return Math.round(ms * 1_000)
}
