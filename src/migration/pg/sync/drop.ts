/** Takes sync away: subscription, slot, publication, and the probes of that direction. */
import { findAttached } from '../attached.ts'
import {
  probePublicationName,
  probeSubscriptionName,
  publicationName,
  subscriptionName,
} from '../names.ts'
import { dropIdleSlot, findSwitchLeftovers } from '../orphan-slots.ts'
import { dropPublicationSql } from '../publication.ts'
import { dropSlot, readSlots } from '../slot.ts'
import { dropSubscription, isNamedSql } from '../subscription.ts'
import { identifier, literal } from '../quote.ts'
import { findSubscription } from './health.ts'
import type { SyncJob } from './job.ts'
import type { SyncPlan, SyncStep } from './plan.ts'

/** Idempotent: what is gone already is no step. */
export async function planDrop(job: SyncJob): Promise<SyncPlan> {
  const { service, direction } = job
  if (job.switchUnderWay !== null) return { steps: [], refusals: [job.switchUnderWay] }
  if (direction === 'reverse') {
    const refusal =
      `the target takes the writes, and this sync is their way back: pontoon rollback ${service} first, ` +
      `or give it up for good with pontoon sync ${service} --drop --no-rollback`
    return { steps: [], refusals: [refusal] }
  }
  const steps: SyncStep[] = [...(await wayBack(job))]
  const found = await findSubscription(job.receiver, job)
  const names = [found, probeSubscriptionName(service, direction)]
  const slots = new Set([subscriptionName(service, direction), ...names].filter(Boolean))
  for (const name of names) if (name !== undefined) steps.push(...(await subscription(job, name)))
  const present = await readSlots(
    job.sender,
    [...slots].flatMap((name) => name ?? []),
  )
  steps.push(
    ...present.map(({ name }): SyncStep => ({
      ...slotStep(name),
      run: async () => {
        await dropSlot(await job.senderOwner(), name)
      },
    })),
  )
  steps.push(...(await planLeftovers(job)))
  for (const name of [
    publicationName(service, direction),
    probePublicationName(service, direction),
  ])
    steps.push(...(await publication(job, name)))
  return { steps, refusals: [] }
}

/** What is done to the target afterwards, such as emptying it, is not to travel to the source. */
async function wayBack(job: SyncJob): Promise<readonly SyncStep[]> {
  const { service } = job
  const source = await job.senderOwner()
  const target = await job.receiverOwner()
  const { subscriptions } = await findAttached(service, { side: 'source', replication: source })
  const { slots } = await findAttached(service, { side: 'target', replication: target })
  return [
    ...subscriptions.map((name) => ({
      what: `drop the subscription ${name} of the way back, on the source`,
      sql: [
        `ALTER SUBSCRIPTION ${identifier(name)} DISABLE`,
        `ALTER SUBSCRIPTION ${identifier(name)} SET (slot_name = NONE)`,
        `DROP SUBSCRIPTION ${identifier(name)}`,
      ],
      run: async (): Promise<void> => {
        await dropSubscription(source, name, { keepSlot: true })
      },
    })),
    ...slots.map((name) => ({
      ...slotStep(name),
      run: async (): Promise<void> => {
        await dropSlot(target, name)
      },
    })),
  ]
}

/** Slots of earlier switches whose subscriptions are gone. */
export async function planLeftovers(job: SyncJob): Promise<readonly SyncStep[]> {
  const leftovers = await findSwitchLeftovers(job.sender, job.receiver, job)
  return leftovers.map((name) => ({
    ...slotStep(name),
    run: async () => dropIdleSlot(await job.senderOwner(), name),
  }))
}

function slotStep(name: string): Pick<SyncStep, 'what' | 'sql'> {
  return {
    what: `drop the slot ${name}, and the WAL that it keeps`,
    sql: [`SELECT pg_catalog.pg_drop_replication_slot(${literal(name)})`],
  }
}

async function subscription(job: SyncJob, name: string): Promise<readonly SyncStep[]> {
  const there = await job.receiver.value(
    `SELECT count(*) FROM pg_catalog.pg_subscription s WHERE ${isNamedSql(name)}`,
  )
  if (there === '0') return []
  return [
    {
      what: `drop the subscription ${name}`,
      sql: [`DROP SUBSCRIPTION ${identifier(name)}`],
      run: async () => {
        const { slotLeft } = await dropSubscription(await job.receiverOwner(), name, {
          keepSlot: false,
        })
        if (slotLeft !== null) await dropSlot(await job.senderOwner(), slotLeft)
      },
    },
  ]
}

async function publication(job: SyncJob, name: string): Promise<readonly SyncStep[]> {
  const there = await job.sender.value(
    'SELECT count(*) FROM pg_catalog.pg_publication WHERE pubname = $1',
    [name],
  )
  const sql = dropPublicationSql(name)
  if (there === '0') return []
  const run = async (): Promise<void> => {
    await job.sender.query(sql)
  }
  return [{ what: `drop the publication ${name}`, sql: [sql], run }]
}
