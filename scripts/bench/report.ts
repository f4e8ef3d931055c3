/**
 * Turns runs into medians, ratios and a table. Pure; bench-pg.ts prints and saves it.
 */
import type { Combination } from './matrix.ts'
import { peerNames } from './options.ts'
import type { PeerName } from './options.ts'
import type { Run } from './run.ts'
import { median, ratio } from '../statistics.ts'
import { alignColumns, digits, groupBy } from './table.ts'

export interface Medians {
  readonly tps: number | undefined
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly cpuUsPerQuery: number | undefined
}

export interface SummaryRow extends Combination {
  readonly peers: Partial<Readonly<Record<PeerName, Medians>>>
  /** Ratios of throughput, each the median of the rounds' own ratios. */
  readonly ratios: Readonly<Record<RatioName, number | undefined>>
}

const ratioPairs = {
  'pontoon/pgbouncer': ['pontoon', 'pgbouncer'],
  'relay/pgbouncer': ['relay', 'pgbouncer'],
  'pontoon/direct': ['pontoon', 'direct'],
  'pgbouncer/direct': ['pgbouncer', 'direct'],
  'relay/direct': ['relay', 'direct'],
} as const satisfies Record<string, readonly [PeerName, PeerName]>

export type RatioName = keyof typeof ratioPairs

export function summarise(runs: readonly Run[]): readonly SummaryRow[] {
  const groups = groupBy(runs, (run) => `${run.workload} ${run.protocol} ${run.clients}`)
  return [...groups.values()].flatMap((group) => {
    const first = group[0]
    if (first === undefined) return []
    const { workload, protocol, clients } = first
    const byPeer = groupBy(group, (run) => run.peer)
    const peers = Object.fromEntries(
      [...byPeer].map(([peer, peerRuns]) => [peer, mediansOf(peerRuns)]),
    )
    return [{ workload, protocol, clients, peers, ratios: ratiosOf(byPeer) }]
  })
}

function mediansOf(runs: readonly Run[]): Medians {
  const of = (pick: (run: Run) => number | undefined) =>
    median(runs.map(pick).filter((value) => value !== undefined))
  return {
    tps: of((run) => run.tps),
    p50Ms: of((run) => run.p50Ms),
    p99Ms: of((run) => run.p99Ms),
    cpuUsPerQuery: of((run) => run.cpuUsPerQuery),
  }
}

/** Compared within a round, where the machine was the same for both, and only then condensed. */
function ratiosOf(byPeer: ReadonlyMap<PeerName, readonly Run[]>): SummaryRow['ratios'] {
  const of = (name: RatioName) => {
    const [over, under] = ratioPairs[name]
    const ratios = (byPeer.get(over) ?? []).map((run) => {
      const other = byPeer.get(under)?.find((candidate) => candidate.round === run.round)
      return ratio(run.tps, other?.tps)
    })
    return median(ratios.filter((value) => value !== undefined))
  }
  return {
    'pontoon/pgbouncer': of('pontoon/pgbouncer'),
    'relay/pgbouncer': of('relay/pgbouncer'),
    'pontoon/direct': of('pontoon/direct'),
    'pgbouncer/direct': of('pgbouncer/direct'),
    'relay/direct': of('relay/direct'),
  }
}

const textColumns: ReadonlySet<number> = new Set([0, 1, 3])

/** A table in Markdown, aligned so that it reads well on a terminal too. */
export function formatTable(rows: readonly SummaryRow[]): string {
  const present = peerNames.filter((peer) => rows.some((row) => row.peers[peer] !== undefined))
  const header = ['workload', 'protocol', 'clients', 'peer', 'TPS', 'p50 ms', 'p99 ms']
  const cells = [[...header, 'CPU µs/query', 'of PgBouncer', 'of direct']]
  for (const row of rows) {
    for (const peer of present) {
      const medians = row.peers[peer]
      if (medians !== undefined) cells.push(formatRow(row, peer, medians))
    }
  }
  return alignColumns(cells, textColumns)
}

function formatRow(row: SummaryRow, peer: PeerName, medians: Medians): string[] {
  const ofPgbouncer =
    peer === 'pontoon' || peer === 'relay' ? row.ratios[`${peer}/pgbouncer`] : undefined
  const ofDirect = peer === 'direct' ? undefined : row.ratios[`${peer}/direct`]
  const names = [row.workload, row.protocol, String(row.clients), peer]
  const latencies = [digits(medians.p50Ms, 3), digits(medians.p99Ms, 3)]
  const costs = [digits(medians.cpuUsPerQuery, 1), digits(ofPgbouncer, 2), digits(ofDirect, 2)]
  return [...names, digits(medians.tps, 0), ...latencies, ...costs]
}
