/** Takes sync away: subscription, slot, publication, and the probes of that direction. */
import { findAttached, type AttachedSide } from '../attached.ts'
import {
  probePublicationName,
  probeSubscriptionName,
  publicationName,
  subscriptionName,
} from '../names.ts'
import { dropIdleSlot, findSwitchLeftovers } from '../orphan-slots.ts'
import { dropPublicationSql } from '../publication.ts'
import { dropSlot, dropSlotSql, readSlots } from '../slot.ts'
import { dropSubscription, isNamedSql } from '../subscription.ts'
import { identifier } from '../quote.ts'
import { slotStep, subscriptionStep } from './detach-steps.ts'
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
  const source = { side: 'source', replication: await job.senderOwner() } as const
  const target = { side: 'target', replication: await job.receiverOwner() } as const
  const steps: SyncStep[] = [...(await wayBack(service, source, target))]
  const found = await findSubscription(job.receiver, job)
  const names = [found, probeSubscriptionName(service, direction)]
  const slots = new Set([subscriptionName(service, direction), ...names].filter(Boolean))
  for (const name of names) if (name !== undefined) steps.push(...(await subscription(job, name)))
  const present = await readSlots(
    job.sender,
    [...slots].flatMap((name) => name ?? []),
  )
  steps.push(...present.map(({ name }) => slotStep(source, name)))
  steps.push(...(await planLeftovers(job)))
  for (const name of [
    publicationName(service, direction),
    probePublicationName(service, direction),
  ])
    steps.push(...(await publication(job, name)))
  return { steps, refusals: [] }
}

/** What is done to the target afterwards, such as emptying it, is not to travel to the source. */
async function wayBack(
  service: string,
  source: AttachedSide,
  target: AttachedSide,
): Promise<readonly SyncStep[]> {
  const { subscriptions } = await findAttached(service, source)
  const { slots } = await findAttached(service, target)
  return [
    ...subscriptions.map((name) => subscriptionStep(source, name)),
    ...slots.map((name) => slotStep(target, name)),
  ]
}

/** Slots of earlier switches whose subscriptions are gone. */
export async function planLeftovers(job: SyncJob): Promise<readonly SyncStep[]> {
  const leftovers = await findSwitchLeftovers(job.sender, job.receiver, job)
  return leftovers.map((name) => ({
    what: `drop the slot ${name}, and the WAL that it keeps`,
    sql: [dropSlotSql(name)],
    run: async () => dropIdleSlot(await job.senderOwner(), name),
  }))
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
