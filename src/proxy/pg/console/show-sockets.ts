/** SHOW CLIENTS and SHOW SERVERS: one row for each connection. */
import { TLSSocket } from 'node:tls'
import type { Carrier } from '../../../net/carrier.ts'
import type { PgServer } from '../../../net/pg/server.ts'
import type { PoolSlot } from '../pool-set.ts'
import type { Session } from '../session.ts'
import { columnsOf, table, type Columns, type Row } from './result.ts'
import type { ConsoleSession } from './session.ts'
import { ownName, secondsAndMicros, timeText, type ConsoleView } from './view.ts'

const columns: Columns = [
  ...columnsOf('text', 'type user database replication state addr'),
  ['port', 'int4'],
  ['local_addr', 'text'],
  ['local_port', 'int4'],
  ...columnsOf('text', 'connect_time request_time'),
  ...columnsOf('int4', 'wait wait_us close_needed'),
  ...columnsOf('text', 'ptr link'),
  ['remote_pid', 'int4'],
  ...columnsOf('text', 'tls application_name'),
  ...columnsOf('int4', 'prepared_statements id'),
]

export function showClients(view: ConsoleView): Buffer[] {
  const rows: Row[] = []
  for (const session of view.sessions) rows.push(clientRow(view, session))
  for (const session of view.consoles) rows.push(consoleRow(view, session))
  return table(columns, rows)
}

export function showServers(view: ConsoleView): Buffer[] {
  const linked = new Map<PgServer, Session>()
  for (const session of view.sessions)
    if (session.server !== null) linked.set(session.server, session)
  const rows: Row[] = []
  for (const slot of view.pools.slots()) {
    if (slot.existing === null) continue
    for (const { server, isOut } of slot.existing.servers())
      rows.push(serverRow(view, slot, server, isOut, linked.get(server) ?? null))
  }
  return table(columns, rows)
}

function clientRow(view: ConsoleView, session: Session): Row {
  const { context } = view
  const { id, user, database, applicationName, state, stateAgeMs } = session.snapshot(
    context.clock.nowMs(),
  )
  const isWaiting = state === 'waiting' || state === 'parked'
  return [
    'C',
    user,
    database,
    'none',
    isWaiting ? 'waiting' : state === 'idle' ? 'idle' : 'active',
    ...addresses(session.client.socket),
    timeText(view, session.openedAtMs),
    timeText(view, session.requestedAtMs),
    ...secondsAndMicros(isWaiting ? stateAgeMs : 0),
    0,
    clientName(id),
    session.server === null ? '' : serverName(session.server),
    0,
    tlsText(session.client.socket),
    applicationName,
    session.statements.size,
    id,
  ]
}

function consoleRow(view: ConsoleView, session: ConsoleSession): Row {
  return [
    'C',
    session.user,
    ownName,
    'none',
    'active',
    ...addresses(session.socket),
    timeText(view, session.openedAtMs),
    timeText(view, session.requestedAtMs),
    0,
    0,
    0,
    clientName(session.id),
    '',
    0,
    tlsText(session.socket),
    session.applicationName,
    0,
    session.id,
  ]
}

function serverRow(
  view: ConsoleView,
  { kind, existing }: PoolSlot,
  server: PgServer,
  isOut: boolean,
  session: Session | null,
): Row {
  const { config, clock } = view.context
  const user = config.users?.[kind.user]?.[kind.side]?.user ?? config[kind.side].user ?? kind.user
  const { socket } = server.transport
  const isClosing = !server.isUsable || existing?.isCurrent(server) === false
  const sinceMs = session?.requestedAtMs ?? Math.max(server.openedAtMs, server.idleSinceMs)
  const client = session?.snapshot(clock.nowMs())
  return [
    'S',
    user,
    kind.database,
    'none',
    serverState(server, isOut),
    ...addresses(socket),
    timeText(view, server.openedAtMs),
    timeText(view, sinceMs),
    0,
    0,
    isClosing ? 1 : 0,
    serverName(server),
    client === undefined ? '' : clientName(client.id),
    server.pid,
    tlsText(socket),
    client?.applicationName ?? '',
    server.prepared.size,
    server.pid,
  ]
}

function serverState(server: PgServer, isOut: boolean): string {
  if (!isOut) return 'idle'
  return server.cancelsInFlight > 0 ? 'being_canceled' : 'active'
}

/** The peer's address and port, then ours; `unix` for a Unix socket. */
function addresses(socket: Carrier): Row {
  return [
    socket.remoteAddress ?? 'unix',
    socket.remotePort ?? 0,
    socket.localAddress ?? 'unix',
    socket.localPort ?? 0,
  ]
}

function tlsText(socket: Carrier): string {
  if (!(socket instanceof TLSSocket)) return ''
  return [socket.getProtocol(), socket.getCipher().standardName].join('/')
}

/** In place of the addresses in memory that PgBouncer shows: only equality means something. */
function clientName(id: number): string {
  return `0xc${id.toString(16).padStart(8, '0')}`
}

function serverName({ pid, side }: PgServer): string {
  return `0x${side === 'source' ? 'a' : 'b'}${pid.toString(16).padStart(8, '0')}`
}
