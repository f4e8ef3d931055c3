/**
 * The commands that change something. Each goes through ConsoleActions, so that it is audited
 * like the same action of the admin API; what differs from PgBouncer is said in a NOTICE.
 */
import { toPontoonError } from '../../../shared/errors.ts'
import { commandComplete } from '../../../wire/pg/write.ts'
import type { ConsoleActions, ConsoleActor } from '../../console-actions.ts'
import type { SessionFilter } from '../../service.ts'
import { ConsoleRefusal } from './refusal.ts'
import { notice } from './result.ts'
import { consoleDatabases } from './access.ts'
import { databaseNames, type ConsoleView } from './view.ts'

/** PAUSE names no deadline, and a gate is a lease: this is how long it lasts. */
export const pauseLeaseMs = 60_000

export interface ActionCall {
  readonly view: ConsoleView
  readonly actions: ConsoleActions
  readonly actor: ConsoleActor
  readonly argument: string | null
  /** Sends something ahead of the answer. */
  readonly tell: (message: Buffer) => void
}

type Action = (call: ActionCall) => Promise<Buffer[]>

export const actions: Readonly<Record<string, Action>> = {
  pause,
  resume,
  reconnect,
  kill,
  kill_client: killClient,
  reload,
  shutdown,
}

/** Commands of PgBouncer that have no counterpart here. */
export const unsupportedCommands: Readonly<Record<string, string>> = {
  disable: 'a service is disabled by ending it; PAUSE holds its clients',
  enable: 'nothing can be disabled',
  suspend: 'there is no online restart; PAUSE holds the clients',
  wait_close: 'watch sv_active and close_needed in SHOW POOLS and SHOW SERVERS',
}

async function pause({
  view,
  actions: control,
  actor,
  argument,
  tell,
}: ActionCall): Promise<Buffer[]> {
  const { name, gate } = view.context
  requireWholeService(view, 'PAUSE', argument)
  const seconds = pauseLeaseMs / 1_000
  const again = gate.isOpen ? '' : 'it was paused already, the lease starts anew; '
  // During a switch it will be refused.
  if (gate.keptBy !== 'switch')
    tell(
      notice(
        `${again}service "${name}" resumes by itself after ${seconds} s unless RESUME comes first; ` +
          'PAUSE again extends that',
      ),
    )
  const { clock } = view.context
  const startedAtMs = clock.nowMs()
  const { drained, waitingFor } = await control.pause(name, pauseLeaseMs, pauseLeaseMs, actor)
  const isOver = clock.nowMs() - startedAtMs >= pauseLeaseMs
  if (gate.isOpen && !isOver) throw new ConsoleRefusal('the service was resumed while PAUSE waited')
  if (gate.isOpen || !drained) {
    const after = gate.isOpen ? 'the service has resumed by itself' : 'the service stays paused'
    const held = `${waitingFor.length} clients did not end their transactions`
    throw new ConsoleRefusal(`${held} within ${seconds} s; ${after}`)
  }
  return [commandComplete('PAUSE')]
}

async function resume({ view, actions: control, actor, argument }: ActionCall): Promise<Buffer[]> {
  requireWholeService(view, 'RESUME', argument)
  if (view.context.gate.isOpen)
    throw new ConsoleRefusal(
      'pooler is not paused/suspended',
      `A PAUSE ends by itself after ${pauseLeaseMs / 1_000} s.`,
    )
  await control.resume(view.context.name, actor)
  return [commandComplete('RESUME')]
}

async function reconnect({
  view,
  actions: control,
  actor,
  argument,
}: ActionCall): Promise<Buffer[]> {
  if (argument !== null) requireDatabase(view, argument)
  await control.reconnect(view.context.name, argument, actor)
  return [commandComplete('RECONNECT')]
}

async function kill(call: ActionCall): Promise<Buffer[]> {
  const { view, argument } = call
  if (argument === null) throw new ConsoleRefusal('a database is required')
  if (consoleDatabases.some((name) => name === argument))
    throw new ConsoleRefusal(`cannot kill admin db: ${argument}`)
  requireDatabase(view, argument)
  const count = await endSessions(call, { database: argument })
  return [
    notice(`${count} sessions ended; new clients are served, PAUSE first to hold them`),
    commandComplete('KILL'),
  ]
}

async function killClient(call: ActionCall): Promise<Buffer[]> {
  const id = Number(call.argument)
  if (call.argument === null || !Number.isSafeInteger(id))
    throw new ConsoleRefusal('a client id is required', 'SHOW CLIENTS has it in its last column.')
  const count = await endSessions(call, { id })
  if (count === 0) throw new ConsoleRefusal(`client not found: ${id}`)
  return [commandComplete('KILL_CLIENT')]
}

function endSessions(
  { view, actions: control, actor }: ActionCall,
  which: SessionFilter,
): Promise<number> {
  return control.kill(view.context.name, which, actor)
}

async function reload({ actions: control, actor, argument }: ActionCall): Promise<Buffer[]> {
  refuseArgument('RELOAD', argument)
  const { applied, needRestart, forNewServices, warnings } = await control.reload(actor)
  const said: readonly (readonly [what: string, paths: readonly string[]])[] = [
    ['in force now', applied],
    ['needs a restart', needRestart],
    ['counts for new services only', forNewServices],
    ['warning', warnings],
  ]
  const notices = said
    .filter(([, paths]) => paths.length > 0)
    .map(([what, paths]) => notice(`${what}: ${paths.join(', ')}`))
  return [...notices, commandComplete('RELOAD')]
}

async function shutdown({ actions: control, actor, argument }: ActionCall): Promise<Buffer[]> {
  const mode = argument?.toLowerCase() ?? ''
  if (mode === 'wait_for_clients')
    throw new ConsoleRefusal(
      'SHUTDOWN WAIT_FOR_CLIENTS is not supported',
      'SHUTDOWN WAIT_FOR_SERVERS lets transactions end, for at most drainTimeoutMs.',
    )
  if (mode !== '' && mode !== 'wait_for_servers') refuseArgument('SHUTDOWN', argument)
  await control.shutdown(mode === 'wait_for_servers', actor)
  return [commandComplete('SHUTDOWN')]
}

/** The gate belongs to the service: one of several databases cannot be held by itself. */
function requireWholeService(view: ConsoleView, verb: string, database: string | null): void {
  const { name, config, route } = view.context
  if (database === null || database === name) return
  if (config.databases?.length === 1 && config.databases[0] === database) return
  requireDatabase(view, database)
  if (config[route.primary].database !== undefined) return
  throw new ConsoleRefusal(
    `${verb} of a single database is not supported: service "${name}" has one gate for all of them`,
    `${verb} without a name means the whole service; \`databases\` in its configuration can limit it to one.`,
  )
}

function requireDatabase(view: ConsoleView, database: string): void {
  if (!databaseNames(view).includes(database))
    throw new ConsoleRefusal(`no such database: ${database}`)
}

function refuseArgument(verb: string, argument: string | null): void {
  if (argument === null) return
  throw new ConsoleRefusal(`invalid command '${verb} ${argument}', use SHOW HELP;`)
}

/** What went wrong below the console, in the words of the error itself. */
export function refusalOf(thrown: unknown): { message: string; hint?: string; sqlstate?: string } {
  if (thrown instanceof ConsoleRefusal)
    return { message: thrown.message, ...(thrown.hint === undefined ? {} : { hint: thrown.hint }) }
  const { message, kind } = toPontoonError(thrown)
  return { message, sqlstate: kind.sqlstate }
}
