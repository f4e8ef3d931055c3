/**
 * The end of a copy: the subscription that goes on from the slot where the snapshot ends, and for
 * tables that the snapshot could not give, the server's own table sync.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { conninfo } from '../conninfo.ts'
import { publicationName } from '../names.ts'
import { ensurePublication, heartbeatOf, isPublishable } from '../publication.ts'
import { qualified, readable } from '../quote.ts'
import { connectAs } from '../side-login.ts'
import {
  createSubscription,
  disableSubscription,
  enableSubscription,
  refreshSubscription,
  terminateApplyWorker,
} from '../subscription.ts'
import { readSubscription } from '../subscription-state.ts'
import { readTables, type Table } from '../tables.ts'
import { forgetTableSql } from './chunk-marks.ts'
import { emptyTables } from './empty.ts'
import type { PlannedTable } from './journal.ts'
import { note, type CopyWork } from './work.ts'

const lookEveryMs = 500

/** Empties what came in part, so that the table sync finds nothing. Before the subscription. */
export async function emptyLeft(
  work: CopyWork,
  source: SqlClient,
  target: SqlClient,
): Promise<void> {
  const heartbeat = qualified(heartbeatOf('forward'))
  for (const table of leftOf(work)) {
    await emptyTables(target, [table], forgetTableSql(work.job.id, table))
    // It is published from the start and so never synced: its beats have to begin anew.
    if (qualified(table) === heartbeat) await source.run(`DELETE FROM ${heartbeat}`)
  }
}

/** Idempotent: goes on after a crash at any point of it. */
export async function follow(work: CopyWork, source: SqlClient): Promise<void> {
  const { context, job } = work
  const { service } = context
  const whole = new Set(job.tables.filter((table) => !table.isLeftToSync).map(qualified))
  const tables = (await readTables(source, work.exclude)).filter(isPublishable)
  // What was made since the plan has no row on the target either.
  const copied = tables.filter((table) => whole.has(qualified(table)))
  const subscriber = await connectAs(context, {
    side: 'target',
    purpose: 'replication',
    task: 'copy: subscription',
  })
  const receiverMajor = subscriber.major
  const publication = { service, direction: 'forward', receiverMajor } as const
  try {
    if ((await readSubscription(subscriber, job.slot)) === undefined) {
      // What is published when it is made counts as copied. The rest is published after.
      await ensurePublication(source, { ...publication, tables: copied })
      await createSubscription(subscriber, {
        name: job.slot,
        publications: [publicationName(service, 'forward')],
        conninfo: await conninfo(context, 'source', {
          task: 'sync forward',
          subscriberMajor: subscriber.major,
        }),
        publisherMajor: source.major,
        copyData: false,
        enabled: true,
      })
    } else await enableSubscription(subscriber, job.slot)
    if (copied.length === tables.length) return
    await ensurePublication(source, { ...publication, tables })
    await refresh(work, subscriber, tables)
  } finally {
    subscriber.close()
  }
}

async function refresh(
  work: CopyWork,
  subscriber: SqlClient,
  tables: readonly Table[],
): Promise<void> {
  const planned = new Set(work.job.tables.map(qualified))
  const fresh = tables.filter((table) => !planned.has(qualified(table))).map(readable)
  if (fresh.length > 0)
    note(work, `Made on the source meanwhile, and copied by the table sync: ${fresh.join(', ')}.`)
  try {
    await refreshSubscription(subscriber, work.job.slot, { copyData: true })
  } catch (error) {
    if (!hasSqlstate(error, '42P01', '3F000')) throw error
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `A table of the source is missing on the target: ${String(error)}. ` +
        'Run pontoon schema, then this again.',
      { cause: error },
    )
  }
}

/** Until the tables that were left to it are in step; gives how many are not yet, now and then. */
export async function awaitTableSync(
  work: CopyWork,
  target: SqlClient,
  onWaiting: (count: number) => void,
): Promise<void> {
  const left = new Set(leftOf(work).map(qualified))
  while (left.size > 0) {
    const state = await readSubscription(target, work.job.slot)
    const waiting = state?.tables.filter(
      (table) => left.has(qualified(table)) && table.state !== 'ready',
    )
    if (state?.isEnabled !== true)
      throw new PontoonError(
        'SQL_FAILED',
        `The subscription ${work.job.slot} was disabled while the server copied ` +
          `${(waiting ?? []).map(readable).join(', ')}; the target's log says why. ` +
          'Mend that, then run the same command again.',
      )
    const known = state.tables.filter((table) => left.has(qualified(table)))
    const count = left.size - known.length + (waiting?.length ?? 0)
    onWaiting(count)
    if (count === 0) return
    await delay(lookEveryMs, undefined, { signal: work.signal })
  }
}

/**
 * Runs DDL with the apply worker stopped: adding a foreign key locks two tables, in another order
 * than the worker's rows, and a deadlock that hits the worker disables the subscription.
 */
export async function withApplyStopped(work: CopyWork, run: () => Promise<void>): Promise<void> {
  const { context, job } = work
  const subscriber = await connectAs(context, {
    side: 'target',
    purpose: 'replication',
    task: 'copy: subscription',
  })
  try {
    await disableSubscription(subscriber, job.slot)
    await terminateApplyWorker(subscriber, job.slot)
    await run()
    await enableSubscription(subscriber, job.slot)
  } finally {
    subscriber.close()
  }
}

export function leftOf({ job }: CopyWork): readonly PlannedTable[] {
  return job.tables.filter(({ isLeftToSync }) => isLeftToSync)
}
