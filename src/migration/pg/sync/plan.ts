/**
 * What makes sync run, from what there is: nothing at all, what `pontoon copy` left, or something
 * that broke. Planned first and then done step by step, so that people may see the SQL before.
 * Doing it twice does no harm.
 */
import { byHand } from '../by-hand.ts'
import { conninfo, redactConninfo } from '../conninfo.ts'
import { clearParted, readMark } from '../control-schema.ts'
import { missedTableSql, noteMissedSql } from '../missed.ts'
import { createSlotSql, dropSlot, dropSlotSql, readSlot } from '../slot.ts'
import { subscribe } from '../subscribe.ts'
import { list } from './condition.ts'
import { heartbeatTable, pontoonSchema, publicationName, subscriptionName } from '../names.ts'
import { heartbeatOf, isPublishable, planPublication, readPublishedTables } from '../publication.ts'
import { identifier, literal, qualified, readable, type QualifiedName } from '../quote.ts'
import {
  createSubscriptionSql,
  dropSubscription,
  dropSubscriptionSql,
  enableSubscription,
  refreshSubscription,
  setSubscriptionConnection,
  type SubscriptionSpec,
} from '../subscription.ts'
import { readSubscription } from '../subscription-state.ts'
import { renewPairsSql } from '../pair-store.ts'
import { pairsOf, readPairing, type TablesOfSides } from '../table-pairs.ts'
import { readTables, type Table } from '../tables.ts'
import { planLeftovers } from './drop.ts'
import { findSubscription, readHealth } from './health.ts'
import { receivingSide, sendingSide, type SyncJob } from './job.ts'

export interface SyncStep {
  /** For people. */
  readonly what: string
  /** What it runs, without passwords. */
  readonly sql: readonly string[]
  readonly run: () => Promise<void>
}

export interface SyncPlan {
  readonly steps: readonly SyncStep[]
  /** Why sync cannot be made to run as things are; then there are no steps. */
  readonly refusals: readonly string[]
}

/** Rejects with MIGRATION_REFUSED for tables without an identity, or as SqlClient.query does. */
export async function planSync(job: SyncJob): Promise<SyncPlan> {
  if (job.switchUnderWay !== null) return refused([job.switchUnderWay])
  const missing = await withoutHeartbeat(job)
  if (missing.length > 0) {
    const where = missing.join(' and the ')
    return refused([`Pontoon's schema is missing on the ${where}: run pontoon schema first`])
  }
  const { service, direction } = job
  const tables = await readTables(job.sender, job.exclude)
  const receiverTables = await readTables(job.receiver, job.exclude)
  const receiver = new Set(receiverTables.map(qualified))
  const before = await readPublishedTables(job.sender, publicationName(service, direction))
  const members = new Set(before?.map(qualified))
  // A table that only the sending side has would stop the stream at its first row.
  const synced = tables.filter(
    (table) => receiver.has(qualified(table)) || members.has(qualified(table)),
  )
  const change = await planPublication(job.sender, {
    service,
    direction,
    tables: synced,
    receiverMajor: job.receiver.major,
  })
  const name = await findSubscription(job.receiver, job)
  const publication: readonly SyncStep[] =
    change.statements.length === 0
      ? []
      : [
          {
            what:
              `${change.isNew ? 'make' : 'mend'} the publication (${change.added.length} tables more, ` +
              `${change.dropped.length} less)${await gapOf(job, name, change.added)}`,
            sql: change.statements,
            run: async () => {
              await job.sender.run(change.statements.join(';\n'), { timeoutMs: 120_000 })
            },
          },
        ]
  const rest =
    name === undefined
      ? await planCreation(job, tables, receiver)
      : await planMending(job, name, synced)
  if (rest.refusals.length > 0) return rest
  // The rows of all of them are copied then.
  const isAnew = name === undefined && direction === 'forward'
  const pairs = await pairSteps(job, { sender: tables, receiver: receiverTables }, isAnew)
  const leftovers = await planLeftovers(job)
  return { steps: [...pairs, ...publication, ...rest.steps, ...leftovers], refusals: [] }
}

/** First: which tables belong together is known before a change of theirs can travel. */
async function pairSteps(
  job: SyncJob,
  tables: TablesOfSides,
  isAnew: boolean,
): Promise<readonly SyncStep[]> {
  const { direction } = job
  const target = direction === 'forward' ? job.receiver : job.sender
  const sql = isAnew
    ? renewPairsSql(pairsOf(direction, tables))
    : (await readPairing(target, direction, tables)).noteSql
  if (sql === null) return []
  const run = async (): Promise<void> => {
    await target.run(sql)
  }
  return [{ what: 'note which tables belong together', sql: [sql], run }]
}

/** Tables that were synced, and whose changes nothing has carried since they were left out. */
async function gapOf(
  { receiver, service }: SyncJob,
  subscription: string | undefined,
  added: readonly QualifiedName[],
): Promise<string> {
  if (subscription === undefined) return ''
  const state = await readSubscription(receiver, subscription)
  const known = new Set(state?.tables.map(qualified))
  const gaps = added.filter(
    (table) => table.schema !== pontoonSchema && known.has(qualified(table)),
  )
  if (gaps.length === 0) return ''
  return (
    `. What ${list(gaps.map(readable))} had for changes while nothing published them is missing: ` +
    `run pontoon verify ${service} --repair when sync runs`
  )
}

/** Without a copy, the server copies the rows itself; into empty tables only. */
async function planCreation(
  job: SyncJob,
  tables: readonly Table[],
  receiver: ReadonlySet<string>,
): Promise<SyncPlan> {
  const { service, direction } = job
  if (direction === 'reverse') return await planRenewal(job, subscriptionName(service, direction))
  const { problem } = await readHealth(job, job)
  if (problem !== null) return refused([`${problem.cause}; ${problem.fix}`])
  const rows = tables.filter(isPublishable)
  const absent = rows.filter((table) => !receiver.has(qualified(table)))
  if (absent.length > 0) {
    const names = absent.map(readable).join(', ')
    return refused([`missing on the ${receivingSide(direction)}: ${names}; run pontoon schema`])
  }
  const filled = await tablesWithRows(job, rows)
  if (filled.length > 0) return refused([await notEmpty(job, filled)])
  const spec = await creationSpec(job)
  const beats = `DELETE FROM pontoon.${heartbeatTable(direction)}`
  return {
    steps: [
      {
        what: `make the subscription ${subscriptionName(service, direction)}; the server copies ${rows.length} tables`,
        sql: [beats, ...subscribeSql(job, spec)],
        run: async () => {
          await job.receiver.query(beats)
          for (const client of [job.sender, job.receiver]) await clearParted(client)
          await subscribe(await job.senderOwner(), await job.receiverOwner(), spec)
        },
      },
    ],
    refusals: [],
  }
}

async function planMending(
  job: SyncJob,
  name: string,
  synced: readonly Table[],
): Promise<SyncPlan> {
  const [state, health] = await Promise.all([
    readSubscription(job.receiver, name),
    readHealth(job, job),
  ])
  if (health.state === 'lost' && job.direction === 'reverse') return await planRenewal(job, name)
  if (health.state === 'lost' && health.problem !== null)
    return refused([`${health.problem.cause}; ${health.problem.fix}`])
  const known = new Set(state?.tables.map(qualified))
  const fresh = synced.filter((table) => isPublishable(table) && !known.has(qualified(table)))
  const filled = await tablesWithRows(job, fresh)
  const isBack = job.direction === 'reverse'
  if (filled.length > 0 && !isBack) return refused([await notEmpty(job, filled)])
  const steps: SyncStep[] = filled.length > 0 ? [missedStep(job)] : []
  if (health.state === 'disabled' || health.state === 'stopped') {
    const text = await connectionText(job)
    steps.push({
      what: 'renew the way to the sending server, with its present password',
      sql: [redacted(`ALTER SUBSCRIPTION ${identifier(name)} CONNECTION ${literal(text)}`, text)],
      run: async () => setSubscriptionConnection(await job.receiverOwner(), name, text),
    })
  }
  if (health.state === 'disabled') {
    steps.push({
      what: `switch the subscription on again. It was off: ${health.problem?.cause ?? 'nobody knows why'}`,
      sql: [`ALTER SUBSCRIPTION ${identifier(name)} ENABLE`],
      run: async () => enableSubscription(await job.receiverOwner(), name),
    })
  }
  const gone = [...known].filter((table) => !new Set(publishedNames(synced, job)).has(table))
  if (fresh.length > 0 || gone.length > 0) {
    // Rows that are there on the way back are of the time before the cutover.
    const copyData = filled.length === 0
    const rows = copyData ? 'which the server copies' : 'from now on'
    steps.push({
      what: `take in ${fresh.length} new tables, ${rows}, and leave out ${gone.length}`,
      sql: [
        `ALTER SUBSCRIPTION ${identifier(name)} REFRESH PUBLICATION WITH (copy_data = ${copyData})`,
      ],
      run: async () => refreshSubscription(await job.receiverOwner(), name, { copyData }),
    })
  }
  return { steps, refusals: [] }
}

/**
 * A way back that begins now, whether or not its subscription is still there. What the source has
 * missed, since its slot was lost or there was none, is left to a repair.
 */
async function planRenewal(job: SyncJob, name: string): Promise<SyncPlan> {
  const { sender } = job
  if ((await readMark(sender))?.parted !== undefined)
    return refused(['a forced switch has left the other side, and nothing replicates to it'])
  const spec = { ...(await creationSpec(job)), name, copyData: false }
  return {
    steps: [
      missedStep(job),
      {
        what: `make the subscription ${name} anew, since it or its slot is lost; it begins now`,
        sql: [...(await dropSql(job, name)), ...subscribeSql(job, spec)],
        run: async () => {
          const owner = await job.receiverOwner()
          await dropSubscription(owner, name, { keepSlot: true })
          const slotOwner = await job.senderOwner()
          await dropSlot(slotOwner, name)
          await subscribe(slotOwner, owner, spec)
        },
      },
    ],
    refusals: [],
  }
}

function missedStep({ service, direction, sender, receiver }: SyncJob): SyncStep {
  const note = noteMissedSql(direction)
  return {
    what: `note that changes are missing until pontoon verify ${service} --repair has brought them`,
    sql: [note],
    run: async () => {
      for (const client of [receiver, sender]) await client.run(`${missedTableSql} ${note}`)
    },
  }
}

async function dropSql({ sender, receiver }: SyncJob, name: string): Promise<readonly string[]> {
  const isThere = (await readSubscription(receiver, name)) !== undefined
  const slot = await readSlot(sender, name)
  return [
    ...(isThere ? dropSubscriptionSql(name) : []),
    ...(slot === undefined ? [] : [dropSlotSql(name)]),
  ]
}

function publishedNames(synced: readonly Table[], { direction }: SyncJob): readonly string[] {
  return [...synced.filter(isPublishable), heartbeatOf(direction)].map(qualified)
}

async function creationSpec(job: SyncJob): Promise<SubscriptionSpec> {
  const { service, direction } = job
  return {
    name: subscriptionName(service, direction),
    publications: [publicationName(service, direction)],
    conninfo: await connectionText(job),
    publisherMajor: job.sender.major,
    copyData: true,
    enabled: true,
  }
}

/** As subscribe() does it: the slot where changes are sent, the subscription where they arrive. */
function subscribeSql({ receiver }: SyncJob, spec: SubscriptionSpec): readonly string[] {
  return [
    createSlotSql(spec.name),
    redacted(createSubscriptionSql(receiver.major, spec), spec.conninfo),
  ]
}

function connectionText({ context, direction, service, receiver }: SyncJob): Promise<string> {
  return conninfo(context, sendingSide(direction), {
    task: `sync ${service}`,
    subscriberMajor: receiver.major,
  })
}

function redacted(sql: string, text: string): string {
  // By a function: a text that is put in has a meaning for $& and the like.
  return sql.replace(literal(text), () => literal(redactConninfo(text)))
}

/** Sides without the heartbeat, which `pontoon schema` makes. */
async function withoutHeartbeat({ sender, receiver, direction }: SyncJob): Promise<string[]> {
  const table = `pontoon.${heartbeatTable(direction)}`
  const missing: string[] = []
  for (const [side, client] of [
    [sendingSide(direction), sender],
    [receivingSide(direction), receiver],
  ] as const) {
    const found = await client.value('SELECT pg_catalog.to_regclass($1)', [table])
    if (found === null) missing.push(side)
  }
  return missing
}

/** In one statement; the control role is a member of the owners, whom row security does not bind. */
async function tablesWithRows<T extends QualifiedName>(
  { receiver }: SyncJob,
  tables: readonly T[],
): Promise<readonly T[]> {
  if (tables.length === 0) return []
  const each = tables.map(
    (table, index) => `SELECT ${index} WHERE EXISTS (SELECT FROM ONLY ${qualified(table)})`,
  )
  const { rows } = await receiver.query(each.join('\nUNION ALL '))
  const filled = new Set(rows.map(([index]) => Number(index)))
  return tables.filter((_table, index) => filled.has(index))
}

async function notEmpty(job: SyncJob, tables: readonly QualifiedName[]): Promise<string> {
  const truncate = `TRUNCATE TABLE ${tables.map(qualified).join(', ')}`
  return (
    `rows are on the ${receivingSide(job.direction)} already, in ${tables.map(readable).join(', ')}: ` +
    `run pontoon copy, or empty these tables there${await byHand(job, truncate)}`
  )
}

function refused(refusals: readonly string[]): SyncPlan {
  return { steps: [], refusals }
}
