/**
 * The conditions under which a switch may begin. Each is asked of the databases themselves; one
 * that does not hold says what to mend. `blocker` refuses the switch, `warning` is reported.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Route } from '../../../routing/route.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import { wait } from '../../../shared/wait.ts'
import { readMark } from '../control-schema.ts'
import { arrayLiteral, isFenced } from '../fence.ts'
import { findDrift } from '../drift.ts'
import { afterwardsOf } from '../left-side-words.ts'
import { directionFrom, publicationName } from '../names.ts'
import { otherSubscriptions } from '../other-subscriptions.ts'
import { readPublishedTables } from '../publication.ts'
import { readable } from '../quote.ts'
import type { MigrationContext } from '../side-login.ts'
import { isUserRelationSql, readSequences, readTables, type Table } from '../tables.ts'
import { readPairing } from '../table-pairs.ts'
import { truncatedTables, truncatedText } from '../truncations.ts'
import { fenceGuard, rightsGuard } from './fence-guards.ts'
import { roomGuard } from './room-guard.ts'
import { verifiedGuard } from './verified-guard.ts'
import { blocker, ok, warning, type Guard, type Participant, type PinnedPolicy } from './model.ts'
import { applicationRoles, ownRoles, type SwitchSide, type SwitchSides } from './switch-sides.ts'
import type { Stream } from '../stream.ts'
import { isParted, missedGuard, streamGuard } from './stream-guard.ts'

export interface GuardParts {
  readonly context: MigrationContext
  readonly sides: SwitchSides
  readonly tables: readonly Table[]
  readonly participant: Participant
  readonly pinned: PinnedPolicy
  /** The sync from the side that takes the writes to the other one. */
  readonly stream: Stream | null
  /** Where `pontoon verify` keeps its reports. */
  readonly stateFolder: string
}

export async function checkGuards(parts: GuardParts): Promise<readonly Guard[]> {
  const { sides } = parts
  const guards = await Promise.all([
    streamGuard(parts),
    missedGuard(parts),
    partedGuard(parts),
    schemaGuard(parts),
    bypassGuard(parts),
    ...[sides.from, sides.to].flatMap((side) => [
      transactionsGuard(parts.context, side),
      triggersGuard(side),
      subscriptionsGuard(parts.context, side),
      sequencesGuard(parts.context, side),
    ]),
    roomGuard(parts),
    schedulerGuard(sides),
    unsyncedGuard(parts),
    verifiedGuard(parts.stateFolder, parts.context.service),
    truncateGuard(parts),
  ])
  // In transactions of their own: nothing else may be asked of these connections meanwhile.
  const fences = await Promise.all(
    [sides.from, sides.to].map((side) => fenceGuard(parts.context, side)),
  )
  return [rolesGuard(parts), pinnedGuard(parts), ...guards.flat(), ...fences]
}

/** Alone and before all others: where it does not hold, nothing may be touched. */
export async function marksGuard(sides: SwitchSides, { primary, epoch }: Route): Promise<Guard> {
  const wrong: string[] = []
  for (const { side, control } of [sides.from, sides.to]) {
    const mark = await readMark(control)
    // The side that was left may have been down when it was to be told.
    const isLeft = side !== primary && mark !== undefined && mark.epoch < epoch
    if (mark !== undefined && !isLeft && (mark.primary !== primary || mark.epoch > epoch))
      wrong.push(`${side} says ${mark.primary} since epoch ${mark.epoch}`)
  }
  if (primary !== sides.from.side) wrong.push(`the route says ${primary}`)
  if (await isFenced(sides.from.control)) wrong.push(`${sides.from.side} is fenced`)
  return wrong.length === 0
    ? ok('marks', `both databases name ${primary} as the side that takes the writes`)
    : blocker('marks', `which side takes the writes is in doubt: ${wrong.join('; ')}`)
}

/** A fence that shuts out Pontoon itself could not be undone. */
function rolesGuard({ context }: GuardParts): Guard {
  const both = (['source', 'target'] as const).flatMap((side) => {
    const own = ownRoles(context, side)
    return applicationRoles(context, side)
      .filter((role) => own.includes(role))
      .map((role) => `${role} on ${side}`)
  })
  return both.length === 0
    ? ok('roles', 'the application and Pontoon have roles of their own')
    : blocker(
        'roles',
        `the application uses a role of Pontoon (${both.join(', ')}), so no fence could keep it out: ` +
          'set controlUser and replicationUser to roles of their own',
      )
}

/** A side that was left behind comes back by a copy only, which takes this word away. */
async function partedGuard({ sides }: GuardParts): Promise<Guard> {
  const { from, to } = sides
  return (await isParted(sides))
    ? blocker(
        'parted',
        `a forced switch has left the ${to.side}, which may have changes that the ${from.side} ` +
          `lacks: ${afterwardsOf(to.side)}`,
      )
    : ok('parted', 'both sides have one history')
}

/** What would stop the sync or be lost by it, in both directions: the way back is one as well. */
async function schemaGuard({
  context,
  sides,
  tables,
  stream,
}: GuardParts): Promise<readonly Guard[]> {
  const { from, to } = sides
  const { exclude } = context.config.migration
  const theirs = await readTables(to.watch, exclude)
  const sequences = await readSequences(from.watch, exclude)
  const theirSequences = await readSequences(to.watch, exclude)
  const direction = directionFrom(from.side)
  const name = publicationName(context.service, direction)
  const target = from.side === 'target' ? from : to
  const both = { sender: tables, receiver: theirs }
  const { mixed } = await readPairing(target.watch, direction, both)
  const forth = findDrift({
    ...both,
    mixed,
    published: await readPublishedTables(from.watch, name),
    subscribed: (await stream?.state(to.watch))?.tables,
    senderSequences: sequences,
    receiverSequences: theirSequences,
  })
  const back = findDrift({
    sender: theirs,
    receiver: tables,
    published: undefined,
    subscribed: undefined,
    mixed: [],
    senderSequences: theirSequences,
    receiverSequences: sequences,
  })
  const unlogged = new Set(tables.filter(({ isUnlogged }) => isUnlogged).map(readable))
  const found = [...forth, ...back.filter(({ effect }) => effect === 'stops')]
  const drifts = found.filter(({ table }) => !unlogged.has(table))
  if (drifts.length === 0) return [ok('schema', `the same ${tables.length} tables on both sides`)]
  return drifts.map(({ table, effect, text, fix }) => {
    const make = effect === 'differs' ? warning : blocker
    return make('schema', `${table} ${text}: ${fix}`)
  })
}

/** Backends of this database that are not the proxy's: the fence would end their work. */
async function bypassGuard(parts: GuardParts): Promise<Guard> {
  const { side } = parts.sides.from
  // The proxy learns a server's pid a moment after the database shows it, and forgets one that it
  // closes before the database does: who is meant by this is there at every look.
  let found = await bypassing(parts)
  for (let look = 0; look < moreLooks && found.length > 0; look += 1) {
    await wait(betweenLooksMs)
    const again = new Set(await bypassing(parts))
    found = found.filter((one) => again.has(one))
  }
  if (found.length === 0) return ok('bypass', `nobody uses ${side} past Pontoon`)
  const more = found.length > namedMax ? ` and ${found.length - namedMax} more` : ''
  return blocker(
    'bypass',
    `connected to ${side} past Pontoon: ${found.slice(0, namedMax).join('; ')}${more}; point them ` +
      'at Pontoon, end them, or name them in migration.allowApplications',
  )
}

const moreLooks = 10
const betweenLooksMs = 200
const namedMax = 20

async function bypassing({ context, sides, participant }: GuardParts): Promise<readonly string[]> {
  const { from } = sides
  const pids = participant.backends(from.side)
  const { rows } = await from.watch.query(
    `SELECT pid, usename, application_name, COALESCE(host(client_addr), 'local')
     FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND backend_type = 'client backend'
       AND pid <> ALL ($1::int[]) AND usename <> ALL ($2::text[])
       AND application_name <> ALL ($3::text[]) AND usename NOT IN ('rdsadmin')
     ORDER BY pid`,
    [
      `{${pids.join(',')}}`,
      arrayLiteral(ownRoles(context, from.side)),
      arrayLiteral(context.config.migration.allowApplications),
    ],
  )
  return rows.map(([pid, user, application, address]) => {
    const called = application === '' ? '' : ` (${application})`
    return `${user}${called} from ${address}, pid ${pid}`
  })
}

function pinnedGuard({ participant, pinned }: GuardParts): Guard {
  const held = participant.immovable()
  if (held.length === 0) return ok('pinned', 'every session can follow to the other side')
  const who = held
    .slice(0, 10)
    .map((one) => `${one.user} from ${one.address} (${one.pinReason}, client ${one.id})`)
  const text = `${held.length} sessions cannot follow: ${who.join('; ')}`
  return pinned === 'abort'
    ? blocker('pinned', `${text}; --pinned wait or terminate says what becomes of them`)
    : warning('pinned', text)
}

/** The creation of a slot waits for transactions of every database of the cluster. */
async function transactionsGuard(context: MigrationContext, at: SwitchSide): Promise<Guard> {
  const { longTransactionMs } = context.config.migration
  const { rows } = await at.watch.query(
    `SELECT 'prepared transaction ' || gid || ' in ' || database FROM pg_catalog.pg_prepared_xacts
     UNION ALL
     SELECT 'pid ' || pid || ' of ' || COALESCE(usename, '?') || ' in ' || COALESCE(datname, '?')
     FROM pg_catalog.pg_stat_activity
     WHERE backend_xid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
       AND xact_start < pg_catalog.clock_timestamp() - $1::interval
     LIMIT 20`,
    [`${longTransactionMs} milliseconds`],
  )
  return rows.length === 0
    ? ok('transactions', `no long or prepared transactions on ${at.side}`)
    : blocker(
        'transactions',
        `open on ${at.side} (whole cluster): ${rows.map(([text]) => text).join('; ')}; end them first`,
      )
}

/** Such triggers fire for the apply worker too, and those that write fail behind a fence. */
async function triggersGuard(at: SwitchSide): Promise<Guard> {
  const { rows } = await at.watch.query(
    `SELECT t.tgname || ' on ' || n.nspname || '.' || c.relname
     FROM pg_catalog.pg_trigger t
     JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal AND ${isUserRelationSql()} LIMIT 20`,
  )
  return rows.length === 0
    ? ok('triggers', `no ENABLE ALWAYS or REPLICA triggers on ${at.side}`)
    : blocker(
        'triggers',
        `fire while rows are applied on ${at.side}: ${rows.map(([text]) => text).join(', ')}; ` +
          'ALTER TABLE … ENABLE TRIGGER',
      )
}

/**
 * Workers of subscriptions pass every fence: what they bring behind a switch stays on the side that
 * was left, and with `origin = none` none of it ever goes on to the other one.
 */
async function subscriptionsGuard(
  { service, config }: MigrationContext,
  at: SwitchSide,
): Promise<Guard> {
  const names = await otherSubscriptions(at.watch, service, config.migration.exclude)
  return names.length === 0
    ? ok('subscriptions', `no other subscription writes to ${at.side}`)
    : blocker(
        'subscriptions',
        `subscriptions on the ${at.side} that are not of ${service} pass its fence, and what they ` +
          `bring is not carried over: ${names.join(', ')}; ALTER SUBSCRIPTION … DISABLE, and once ` +
          'the writes have moved make them anew there',
      )
}

async function sequencesGuard({ config }: MigrationContext, at: SwitchSide): Promise<Guard> {
  return rightsGuard(at, await readSequences(at.watch, config.migration.exclude))
}

async function schedulerGuard({ from, to }: SwitchSides): Promise<Guard> {
  const both = (await hasScheduler(from)) && (await hasScheduler(to))
  return both
    ? warning('scheduler', 'pg_cron is on both sides: make sure that its jobs run on one only')
    : ok('scheduler', 'no scheduler on both sides')
}

async function hasScheduler({ watch }: SwitchSide): Promise<boolean> {
  const found = "SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'pg_cron'"
  return (await watch.value(found)) === '1'
}

/** What logical replication does not carry. */
async function unsyncedGuard({ sides, tables }: GuardParts): Promise<Guard> {
  const { from } = sides
  const objects = await countLargeObjects(from.watch)
  const unlogged = tables.filter((table) => table.isUnlogged).map(readable)
  const parts = [
    ...(objects > 0 ? [`${objects} large objects`] : []),
    ...(unlogged.length > 0 ? [`unlogged tables ${unlogged.join(', ')}`] : []),
  ]
  const to: Side = otherSide(from.side)
  return parts.length === 0
    ? ok('unsynced', 'no large objects or unlogged tables')
    : warning('unsynced', `not kept equal on ${to}: ${parts.join('; ')}`)
}

async function truncateGuard({ context, sides }: GuardParts): Promise<Guard> {
  const { from, to } = sides
  const tables = await truncatedTables(from.watch, to.watch.major)
  return tables.length === 0
    ? ok('truncate', `every TRUNCATE on ${from.side} has been carried over`)
    : blocker('truncate', truncatedText(tables, context.service))
}

async function countLargeObjects(client: SqlClient): Promise<number> {
  const count = await client.value(
    'SELECT count(*) FROM (SELECT FROM pg_catalog.pg_largeobject_metadata LIMIT 1000) o',
  )
  return Number(count)
}
