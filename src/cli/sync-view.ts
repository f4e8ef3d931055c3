/** Sync for people: one direction as facts, and as one line of a log. */
import type { Condition } from '../migration/pg/sync/condition.ts'
import type { SyncHealth } from '../migration/pg/sync/health.ts'
import type { Drift } from '../migration/pg/drift.ts'
import { formatAmount } from './progress-amount.ts'
import { formatDuration } from './duration.ts'
import { formatFacts, formatTable } from './table.ts'

export function describeHealth(health: SyncHealth): string {
  const { slot, problem, errors } = health
  return formatFacts([
    ['sync', `${health.direction}: ${health.state}`],
    ['behind', behind(health)],
    ...(health.notReadyCount === 0 ? [] : [['copying', notReady(health)] as const]),
    ...(slot === null
      ? []
      : [
          [
            'slot',
            `${slot.name} keeps ${formatAmount(slot.retainedBytes, 'bytes')} of WAL`,
          ] as const,
        ]),
    ...(errors === null ? [] : [['errors', errorCounts(health)] as const]),
    ...(problem === null
      ? []
      : ([
          ['problem', problem.cause],
          ['to do', problem.fix],
        ] as const)),
  ])
}

export function healthLine(health: SyncHealth): string {
  const problem = health.problem === null ? '' : ` · ${health.problem.cause}`
  const copying = health.notReadyCount === 0 ? '' : ` · ${health.notReadyCount} tables to copy`
  return `${health.direction} ${health.state} · ${behind(health)}${copying}${problem}`
}

export function describeDrift(drift: readonly Drift[]): string {
  if (drift.length === 0) return ''
  return formatTable(
    [{ heading: 'TABLE' }, { heading: 'EFFECT' }, { heading: 'WHAT' }, { heading: 'TO DO' }],
    drift.map(({ table, effect, text, fix }) => [table, effect, text, fix]),
  )
}

export function describeConditions(conditions: readonly Condition[]): string {
  if (conditions.length === 0) return ''
  return formatTable(
    [{ heading: 'CONDITION' }, { heading: 'HOLDS' }, { heading: 'WHY' }],
    conditions.map(({ name, ok, text }) => [name, ok ? 'yes' : 'NO', text]),
  )
}

function behind({ lagMs, lagBytes, unsentBytes }: SyncHealth): string {
  const parts = [
    ...(lagMs === null ? [] : [formatDuration(lagMs)]),
    ...(lagBytes === null ? [] : [`${formatAmount(lagBytes, 'bytes')} of WAL`]),
    ...(unsentBytes === null ? [] : [`${formatAmount(unsentBytes, 'bytes')} not sent yet`]),
  ]
  return parts.join(', ') || 'not known'
}

function notReady({ notReady: names, notReadyCount }: SyncHealth): string {
  const more = notReadyCount - names.length
  return [...names, ...(more > 0 ? [`and ${more} more`] : [])].join(', ')
}

function errorCounts({ errors }: SyncHealth): string {
  const conflicts = Object.entries(errors?.conflicts ?? {}).filter(([, count]) => count > 0)
  const counts = [
    `${errors?.apply ?? 0} while applying`,
    `${errors?.sync ?? 0} while copying`,
    ...conflicts.map(([kind, count]) => `${count} ${kind.replaceAll('_', ' ')}`),
  ]
  return counts.join(', ')
}
