/** pontoon status [SERVICE]: routes, gates, pools and clients of a running sidecar. */
import { adminLimits } from '../control/limits.ts'
import type { ServiceView } from '../control/service-view.ts'
import type { SyncView } from '../migration/pg/sync/supervisor.ts'
import type { ClientSnapshot } from '../proxy/service.ts'
import { sides } from '../shared/side.ts'
import { AdminClient } from './admin-client.ts'
import { describeClients } from './client-table.ts'
import { adminOptions, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { formatDuration } from './duration.ts'
import { formatAmount } from './progress-amount.ts'
import { describeConditions, describeDrift, describeHealth, healthLine } from './sync-view.ts'
import { formatFacts, formatTable } from './table.ts'
import type { Column } from './table.ts'

export const status: Command = {
  name: 'status',
  summary: 'Show routes, gates, pools and clients.',
  positionals: [{ name: 'SERVICE', optional: true, help: 'Only this service, with more detail.' }],
  details:
    'With a SERVICE, also each client that is pinned to its server, and why; with --clients, what\n' +
    `every client does, at most ${adminLimits.clientsListedMax} of them.`,
  options: {
    clients: { help: 'List all clients of the service, not only pinned ones.' },
    ...adminOptions,
  },
  examples: ['pontoon status', 'pontoon status orders --clients', 'pontoon status --json'],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const client = new AdminClient({ args, env })
  const [name] = args.positionals
  if (name !== undefined) {
    const view = await client.service(name)
    const isComplete = args.has('clients')
    const hasPinned = Object.values(view.pinned).some((count) => count > 0)
    const listed =
      isComplete || hasPinned ? await client.clients(name, adminLimits.clientsListedMax) : []
    const clientList = isComplete ? listed : listed.filter(({ pinReason }) => pinReason !== '')
    output.result({ ...view, clientList }, () => describeService(view, clientList))
    return exitCodes.ok
  }
  const services = await client.services()
  output.result({ services }, () => describeServices(services))
  return exitCodes.ok
}

const overviewColumns: readonly Column[] = [
  { heading: 'SERVICE' },
  { heading: 'PHASE' },
  { heading: 'WRITES' },
  { heading: 'READS ON TARGET', align: 'right' },
  { heading: 'EPOCH', align: 'right' },
  { heading: 'GATE' },
  { heading: 'CLIENTS', align: 'right' },
  { heading: 'SOURCE' },
  { heading: 'TARGET' },
  { heading: 'SYNC' },
]

function describeServices(services: readonly ServiceView[]): string {
  if (services.length === 0) return 'The configuration names no services.'
  return formatTable(
    overviewColumns,
    services.map(({ name, route, gate, clients, sides: of, sync }) => [
      name,
      route.phase,
      route.primary,
      `${route.reads}%`,
      String(route.epoch),
      gate.state,
      String(sum(Object.values(clients))),
      of.source.state,
      of.target.state,
      (sync?.health ?? []).map(healthLine).join('; '),
    ]),
  )
}

function describeService(view: ServiceView, clientList: readonly ClientSnapshot[]): string {
  const { route, gate } = view
  const facts = formatFacts([
    ['service', `${view.name} (${view.protocol}, ${view.poolMode} pooling)`],
    ['listens on', view.listening.join(', ')],
    ['phase', route.phase],
    ['writes go to', route.primary],
    ['reads on target', `${route.reads}%`],
    ['epoch', String(route.epoch)],
    ['gate', describeGate(gate)],
    ['clients', describeCounts(view.clients)],
    ['pinned', describeCounts(view.pinned)],
    ['errors', describeCounts({ ...view.totals.ownErrors, ...sqlstates(view) })],
    ...certificateFacts(view),
  ])
  const clients = clientList.length === 0 ? '' : describeClients(clientList)
  const parts = [
    facts,
    describeSides(view),
    describePools(view),
    describeSync(view),
    describeCommands(view),
    clients,
  ]
  return parts.filter(Boolean).join('\n\n')
}

/** Both directions, what has to hold so that changing sides loses nothing, and WAL kept by slots. */
function describeSync({ sync, route }: ServiceView): string {
  if (sync === undefined) return ''
  const slots = sync.slots.map(
    ({ side, name, retainedBytes }) =>
      `${name} on the ${side} ${formatAmount(retainedBytes, 'bytes')}`,
  )
  return [
    ...sync.health.map(describeHealth),
    formatFacts([
      ['loses nothing', sync.conditions.every(({ ok }) => ok) ? 'yes' : 'NO, see below'],
      ...(route.primary === 'target' ? [['rollback ready', rollbackText(sync)] as const] : []),
      ['WAL kept', slots.join(', ') || 'none'],
    ]),
    describeConditions(sync.conditions),
    describeDrift(sync.drift),
  ]
    .filter(Boolean)
    .join('\n\n')
}

function rollbackText({ rollbackReady, givenUpSince }: SyncView): string {
  if (givenUpSince !== null) return `no way back: it was given up at ${givenUpSince}`
  return rollbackReady ? 'yes' : 'no'
}

/** Of a Redis service: what is called most, hot keys, large values and slow commands. */
function describeCommands({ commands: told }: ServiceView): string {
  if (told === undefined || told.commands.length === 0) return ''
  const table = formatTable(
    [{ heading: 'COMMAND' }, ...['CALLS', 'ERRORS'].map(numberColumn)],
    told.commands
      .slice(0, shownMax)
      .map(({ command, calls, errors }) => [command, String(calls), String(errors)]),
  )
  const lists = [
    ['hot keys', told.hotKeys.map(({ key, percent }) => `${key} (${percent.toFixed(0)}%)`)],
    ['large', told.bigValues.map(({ command, key, bytes }) => `${command} ${key} (${bytes} B)`)],
    ['slow', told.slow.map(({ command, tookMs }) => `${command} (${formatDuration(tookMs)})`)],
  ] as const
  const facts = lists.flatMap(([name, entries]): [string, string][] =>
    entries.length === 0 ? [] : [[name, entries.slice(0, shownMax).join(', ')]],
  )
  return [table, formatFacts(facts)].filter(Boolean).join('\n\n')
}

const shownMax = 10

function certificateFacts({ certificates = [] }: ServiceView): [string, string][] {
  return certificates.flatMap(({ problem }): [string, string][] =>
    problem === null ? [] : [['certificate', problem]],
  )
}

function describeGate(gate: ServiceView['gate']): string {
  if (gate.state === 'open') return 'open'
  const opens =
    gate.opensInMs === null
      ? 'does not open by itself'
      : `opens in ${formatDuration(gate.opensInMs)}`
  return `paused (${gate.reason}), ${gate.parked} parked, ${opens}`
}

function describeCounts(counts: Readonly<Record<string, number>>): string {
  const present = Object.entries(counts).filter(([, count]) => count > 0)
  return present.map(([name, count]) => `${count} ${name}`).join(', ') || 'none'
}

function sqlstates(view: ServiceView): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(view.totals.serverErrors).map(([name, count]) => [`SQLSTATE ${name}`, count]),
  )
}

function describeSides(view: ServiceView): string {
  const rows = sides.map((side) => {
    const of = view.sides[side]
    return [
      side === view.route.primary ? `${side} (writes)` : side,
      `${of.host}:${of.port}`,
      of.version,
      String(of.transactions),
      String(of.queries),
      String(Math.max(of.readP99Ms, of.writeP99Ms)),
      of.state === 'unreachable' ? of.message : of.state,
    ]
  })
  return formatTable(
    [
      { heading: 'SIDE' },
      { heading: 'SERVER' },
      { heading: 'VERSION' },
      { heading: 'TRANSACTIONS', align: 'right' },
      { heading: 'QUERIES', align: 'right' },
      { heading: 'P99 MS', align: 'right' },
      { heading: 'STATE' },
    ],
    rows,
  )
}

function describePools({ pools }: ServiceView): string {
  if (pools.length === 0) return ''
  return formatTable(
    [
      { heading: 'POOL' },
      { heading: 'USER' },
      { heading: 'DATABASE' },
      { heading: 'FOR' },
      ...['ACTIVE', 'IDLE', 'CONNECTING', 'SIZE', 'WAITING', 'OLDEST WAIT'].map(numberColumn),
      { heading: 'LAST FAILURE' },
    ],
    pools.map((pool) => [
      pool.side,
      pool.user,
      pool.database,
      pool.access === 'read' ? 'reads' : 'writes',
      ...[pool.active, pool.idle + pool.probing, pool.connecting].map(String),
      pool.minSize > 0 ? `${pool.minSize}-${pool.size}` : String(pool.size),
      String(pool.waiting),
      pool.waiting > 0 ? formatDuration(pool.oldestWaitMs) : '',
      pool.failure,
    ]),
  )
}

function numberColumn(heading: string): Column {
  return { heading, align: 'right' }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
