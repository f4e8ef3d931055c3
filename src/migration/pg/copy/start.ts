/**
 * The beginning of a copy: what stands in the way, the publication, the slot with its snapshot, and
 * the plan that is read in it.
 */
import { randomUUID } from 'node:crypto'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { clearParted, readMark } from '../control-schema.ts'
import { subscriptionName } from '../names.ts'
import { otherSubscriptions } from '../other-subscriptions.ts'
import { ensurePublication, heartbeatOf, planPublication } from '../publication.ts'
import { literal, qualified, readable, type QualifiedName } from '../quote.ts'
import type { MigrationContext } from '../side-login.ts'
import { refuseForeignSlot } from '../slot.ts'
import { findStreams } from '../stream.ts'
import { renewPairsSql } from '../pair-store.ts'
import { pairsOf } from '../table-pairs.ts'
import { readTables, type Table } from '../tables.ts'
import { dropSourceSlot } from './abandon.ts'
import {
  beginMarks,
  ensureChunkMarks,
  ensureControlSchema,
  tablesEverCopied,
  takeTarget,
} from './chunk-marks.ts'
import { refuseIntoPrimary } from './direction.ts'
import { emptyTables } from './empty.ts'
import { writeJob, type CopyJob } from './journal.ts'
import { awaitSnapshot, startKeeper } from './keeper.ts'
import { planCopy } from './plan.ts'
import { apartFromSwitches, dropWayBack } from './way-back.ts'

export interface StartOptions {
  readonly context: MigrationContext
  readonly source: SqlClient
  readonly target: SqlClient
  readonly folder: string
  readonly exclude: readonly string[]
  readonly jobs: number
  readonly chunkBytes?: number | undefined
  /** Runs keepSnapshot for the folder, in a process of its own. */
  readonly keeperCommand: readonly string[]
  /** Rows of whatever origin in the target's tables are thrown away. */
  readonly mayEmpty: boolean
  readonly startedAtMs: number
  readonly signal: AbortSignal
  readonly note: (words: string) => void
}

export async function startCopy(options: StartOptions): Promise<CopyJob> {
  const { context, source, target, folder } = options
  const { service } = context
  const name = subscriptionName(service, 'forward')
  await refuseUnfit(options)
  if (await apartFromSwitches(context, (owners) => dropWayBack(context, owners)))
    options.note(
      'The way back is taken away, since it would carry this copy; a switch makes it anew.',
    )
  const tables = await readTables(source, options.exclude)
  await Promise.all([ensureControlSchema(source), ensureControlSchema(target)])
  await ensureChunkMarks(target)
  await takeTarget(target)
  await emptyTarget(options, tables)
  for (const client of [source, target]) await clearParted(client)
  const id = randomUUID()
  await beginMarks(target, id)
  const receiverMajor = target.major
  await ensurePublication(source, { service, direction: 'forward', tables, receiverMajor })
  // Without a subscription it belongs to nobody: left by a copy that ended before it began.
  await dropSourceSlot(context, name)
  const { startedAtMs } = options
  const job: CopyJob = {
    version: 1,
    id,
    stage: 'preparing',
    slot: name,
    startedAtMs,
    tables: [],
  }
  await writeJob(folder, job)
  const hasKeeperEnded = await startKeeper(options.keeperCommand, folder)
  const { snapshot } = await awaitSnapshot({
    folder,
    id,
    hasKeeperEnded,
    signal: options.signal,
    onWait: waitNotes(options),
  })
  const { planned, sender } = await planInSnapshot(options, snapshot)
  // By the names of the snapshot, from which on changes travel.
  const pairs = pairsOf('forward', { sender, receiver: await readTables(target) })
  await target.run(renewPairsSql(pairs))
  const begun: CopyJob = { ...job, stage: 'copying', tables: planned }
  await writeJob(folder, begun)
  return begun
}

/** What would be done, with nothing changed. Throws what startCopy would refuse. */
export async function rehearseStart(
  options: Pick<StartOptions, 'context' | 'source' | 'target' | 'exclude'>,
): Promise<readonly QualifiedName[]> {
  const { context, source, target, exclude } = options
  await refuseIntoPrimary(source, target)
  await refuseUnfit(options)
  const tables = await readTables(source, exclude)
  const spec = { service: context.service, direction: 'forward', tables } as const
  await planPublication(source, { ...spec, receiverMajor: target.major })
  return filledOf(target, tables)
}

async function refuseUnfit({
  context: { service },
  source,
  target,
  exclude,
}: Pick<StartOptions, 'context' | 'source' | 'target' | 'exclude'>): Promise<void> {
  const level = await source.value("SELECT pg_catalog.current_setting('wal_level')")
  if (level !== 'logical')
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `The source has wal_level = ${level}: set it to logical and restart it.`,
    )
  await refuseForeignSlot(source, subscriptionName(service, 'forward'))
  const [stream] = await findStreams(target, service, 'forward')
  if (stream !== undefined)
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `The target has the subscription ${stream.name} already: its tables are being synced. ` +
        'pontoon copy --restart drops it and copies all again.',
    )
  const others = await otherSubscriptions(target, service, exclude)
  if (others.length > 0)
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `Subscriptions that are not of ${service} write to tables of the target: ${others.join(', ')}. ` +
        'They would meet what is copied: disable or drop them first, or list their tables in migration.exclude.',
    )
}

interface Planned {
  readonly planned: CopyJob['tables']
  /** Of the source. */
  readonly sender: readonly Table[]
}

async function planInSnapshot(options: StartOptions, snapshot: string): Promise<Planned> {
  const { context, source, target, exclude } = options
  await source.run(
    'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ' +
      `SET TRANSACTION SNAPSHOT ${literal(snapshot)}`,
  )
  try {
    const { tables: planned, remarks } = await planCopy(options)
    for (const remark of remarks) options.note(remark)
    const sender = await readTables(source, exclude)
    const { statements } = await planPublication(source, {
      service: context.service,
      direction: 'forward',
      tables: sender,
      receiverMajor: target.major,
    })
    if (statements.length > 0)
      throw new PontoonError(
        'MIGRATION_REFUSED',
        'Tables of the source were made or dropped while the copy began. Run pontoon schema, then this again.',
      )
    return { planned, sender }
  } finally {
    if (source.isOpen) await source.run('COMMIT')
  }
}

const namedMax = 20

/** Leftovers of earlier copies go; rows of anyone else only when told so. */
async function emptyTarget(options: StartOptions, tables: readonly Table[]): Promise<void> {
  const { target, mayEmpty, note } = options
  const filled = await filledOf(target, tables)
  // A forced switch has left it: it may have rows that no other side has.
  const isParted = (await readMark(target))?.parted === 'target'
  const ours = isParted ? new Set<string>() : await tablesEverCopied(target)
  const foreign = filled.filter((table) => !ours.has(qualified(table)))
  if (foreign.length > 0 && !mayEmpty) {
    const named = foreign.slice(0, namedMax).map(readable).join(', ')
    const why = isParted ? 'that only it may have' : 'that no copy has brought'
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `${foreign.length} tables of the target have rows ${why}: ${named}. ` +
        'Empty them, or use --restart, which does.',
    )
  }
  if (filled.length > 0) note(`Emptying ${filled.length} tables of the target.`)
  await emptyTables(target, [...filled, heartbeatOf('forward')])
}

const perStatementMax = 200

async function filledOf(
  target: SqlClient,
  tables: readonly Table[],
): Promise<readonly QualifiedName[]> {
  const leaves = tables.filter(({ kind }) => kind === 'table')
  const filled: QualifiedName[] = []
  for (let at = 0; at < leaves.length; at += perStatementMax) {
    const some = leaves.slice(at, at + perStatementMax)
    const sql = some.map(
      (table, index) => `SELECT ${index} WHERE EXISTS (SELECT FROM ONLY ${qualified(table)})`,
    )
    try {
      const { rows } = await target.query(sql.join(' UNION ALL '))
      for (const [index] of rows) {
        const table = some[Number(index)]
        if (table !== undefined) filled.push({ schema: table.schema, name: table.name })
      }
    } catch (error) {
      if (!hasSqlstate(error, '42P01', '3F000')) throw error
      throw new PontoonError(
        'MIGRATION_REFUSED',
        `A table is missing on the target: ${String(error)}. Run pontoon schema first.`,
      )
    }
  }
  return filled
}

const noteAfterLooks = 30
const noteEveryLooks = 300

/** Who keeps the slot from being made. */
function waitNotes({ source, note }: StartOptions): () => Promise<void> {
  let looks = 0
  return async () => {
    looks += 1
    if (looks !== noteAfterLooks && looks % noteEveryLooks !== 0) return
    const { rows } = await source.query(
      `SELECT pid, COALESCE(usename, ''), COALESCE(application_name, ''),
         EXTRACT(epoch FROM now() - xact_start)::int
       FROM pg_catalog.pg_stat_activity
       WHERE backend_xid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()
       ORDER BY xact_start LIMIT 5`,
    )
    const who = rows.map(
      ([pid, user, application, seconds]) =>
        `process ${pid} (${[user, application].filter((word) => word !== '').join(', ')}, ${seconds} s)`,
    )
    const found = who.length === 0 ? 'prepared transactions, or ones just ended' : who.join(', ')
    note(`The replication slot waits for transactions that were open before it: ${found}.`)
  }
}
