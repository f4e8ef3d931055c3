/** Gives a copy up: its slot lets the source's WAL go, its keeper ends. Rows that came stay. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { publicationName, subscriptionName } from '../names.ts'
import { dropIdleSlot, findOrphanSlots } from '../orphan-slots.ts'
import { dropPublicationSql } from '../publication.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { dropSlot } from '../slot.ts'
import { dropSubscription } from '../subscription.ts'
import { readSubscription } from '../subscription-state.ts'
import { findStreams } from '../stream.ts'
import { assertNotOutdone } from './chunk-marks.ts'
import { writeJob, type CopyJob } from './journal.ts'
import { lockTarget } from './target-lock.ts'
import type { Owners } from './way-back.ts'

/**
 * Throws MIGRATION_REFUSED once the subscription is there: sync goes on from then; and where a copy
 * from elsewhere runs, or has begun since and was stopped: the slot is that one's.
 */
export async function abandonCopy(
  context: MigrationContext,
  source: SqlClient,
  folder: string,
  job: CopyJob,
): Promise<void> {
  if (job.stage === 'following' || job.stage === 'done') throw isOver()
  const target = await reachTarget(context)
  try {
    if (target !== undefined) {
      await lockTarget(target)
      // Another copy has come to its end since.
      if ((await readSubscription(target, job.slot)) !== undefined) throw isOver()
      await assertNotOutdone(target, job.id)
    }
    await writeJob(folder, { ...job, stage: 'aborted' })
    await dropSourceSlot(context, job.slot)
    await source.run(dropPublicationSql(publicationName(context.service, 'forward')))
  } finally {
    target?.close()
  }
}

function isOver(): PontoonError {
  return new PontoonError(
    'MIGRATION_REFUSED',
    'The copy is over and the target follows the source: there is nothing to abort.',
  )
}

/** Undefined whatever is the matter with it: the source must not keep WAL for a target that is gone. */
async function reachTarget(context: MigrationContext): Promise<SqlClient | undefined> {
  try {
    return await connectAs(context, { side: 'target', purpose: 'control', task: 'copy: abort' })
  } catch {
    return undefined
  }
}

/** Before all is copied again: also ends a sync that goes on already. */
export async function startOver(
  { service }: MigrationContext,
  { source, target }: Owners,
  folder: string,
  job: CopyJob | undefined,
): Promise<void> {
  if (job !== undefined) await writeJob(folder, { ...job, stage: 'aborted' })
  const slots = new Set([subscriptionName(service, 'forward')])
  // A switch gives its subscription another name than a copy does.
  for (const { name } of await findStreams(target, service, 'forward')) {
    const { slotLeft } = await dropSubscription(target, name, { keepSlot: true })
    if (slotLeft !== null) slots.add(slotLeft)
  }
  for (const slot of slots) await dropSlot(source, slot)
  const place = { service, direction: 'forward' } as const
  for (const slot of await findOrphanSlots(source, target, place)) await dropIdleSlot(source, slot)
}

/** As the role that may: the control role needs neither SUPERUSER nor REPLICATION. */
export async function dropSourceSlot(context: MigrationContext, slot: string): Promise<void> {
  const owner = await connectAs(context, {
    side: 'source',
    purpose: 'replication',
    task: 'copy: drop slot',
  })
  try {
    await dropSlot(owner, slot)
  } finally {
    owner.close()
  }
}
