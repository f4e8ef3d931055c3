/**
 * Subscriptions, on the side that receives. What options there are depends on the version of
 * the subscriber, and what `origin = none` is worth also on that of the publisher.
 *
 * A server keeps CONNECTION with its password in its catalogue, and logs the statement where
 * log_statement is `ddl` or more. Statements run one by one: most refuse a transaction block.
 */
import type { SqlClient, SqlOptions } from '../../net/pg/sql-client.ts'
import { hasSqlstate, SqlError } from '../../net/pg/sql-error.ts'
import { identifier, identifiers, literal } from './quote.ts'

export interface SubscriptionSpec {
  readonly name: string
  /** It has to be there before it is switched on. Default: `name`. */
  readonly slot?: string
  readonly publications: readonly string[]
  /** As conninfo() makes it. */
  readonly conninfo: string
  readonly publisherMajor: number
  /** Whether the server copies the rows that are there. */
  readonly copyData: boolean
  readonly enabled: boolean
  /**
   * Default false. Switches the subscription off at its first error (15), and a connection that
   * breaks is such an error (tried with 18): nobody would switch it on again.
   */
  readonly disableOnError?: boolean
  /** Default true: rows are written as the subscription's owner, not as that of each table (16). */
  readonly runAsOwner?: boolean
  /** Default true: what anyone but a superuser needs (16). */
  readonly passwordRequired?: boolean
}

const createTimeoutMs = 60_000
/** Of the publisher when a subscription is dropped; it may be out of reach. */
const farDropTimeoutMs = 10_000

const undefinedObject = '42704'

/**
 * Rejects with SqlError: 08… when the subscriber does not reach the publisher, 42710 when there is
 * a subscription of that name.
 */
export async function createSubscription(
  subscriber: SqlClient,
  spec: SubscriptionSpec,
): Promise<void> {
  const sql = createSubscriptionSql(subscriber.major, spec)
  await subscriber.query(sql, undefined, { timeoutMs: createTimeoutMs }).catch((error: unknown) => {
    throw error instanceof SqlError && doesNotReach(error) ? error.advised(howItReaches) : error
  })
}

/** Servers before 15 say it without a code of its own. */
function doesNotReach(error: SqlError): boolean {
  return hasSqlstate(error, '08') || error.message.includes('could not connect to the publisher')
}

const howItReaches =
  'It is this server that connects to the other one, not Pontoon: hostSeenFromOtherSide, ' +
  'portSeenFromOtherSide and tlsSeenFromOtherSide of the other side say how (by default as ' +
  'Pontoon does itself), and a CA is a file on the host of this server'

export function createSubscriptionSql(subscriberMajor: number, spec: SubscriptionSpec): string {
  const settings = Object.entries(settingsOf(subscriberMajor, spec))
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name} = ${value}`]))
    .join(', ')
  return (
    `CREATE SUBSCRIPTION ${identifier(spec.name)} CONNECTION ${literal(spec.conninfo)} ` +
    `PUBLICATION ${identifiers(spec.publications)} WITH (${settings})`
  )
}

/**
 * `streaming`: large transactions travel while they run, so that their end is no long wait.
 * `binary` stays off: it needs the same types with the same formats on both sides.
 */
function settingsOf(
  major: number,
  spec: SubscriptionSpec,
): Readonly<Record<string, string | undefined>> {
  const from = (since: number, value: string): string | undefined =>
    major >= since ? value : undefined
  return {
    slot_name: literal(spec.slot ?? spec.name),
    // By itself the server would wait for it in a transaction: see subscribe.ts.
    create_slot: 'false',
    copy_data: String(spec.copyData),
    enabled: String(spec.enabled),
    streaming: from(14, major >= 16 ? 'parallel' : 'on'),
    disable_on_error: spec.disableOnError === true ? from(15, 'true') : undefined,
    origin: spec.publisherMajor >= 16 ? from(16, 'none') : undefined,
    run_as_owner: from(16, String(spec.runAsOwner ?? true)),
    password_required: spec.passwordRequired === false ? from(16, 'false') : undefined,
  }
}

export async function enableSubscription(
  client: SqlClient,
  name: string,
  options?: SqlOptions,
): Promise<void> {
  await client.query(`ALTER SUBSCRIPTION ${identifier(name)} ENABLE`, undefined, options)
}

/** The worker notices by itself, after what it is applying; see terminateApplyWorker. */
export async function disableSubscription(
  client: SqlClient,
  name: string,
  options?: SqlOptions,
): Promise<void> {
  await client.query(`ALTER SUBSCRIPTION ${identifier(name)} DISABLE`, undefined, options)
}

export async function setSubscriptionConnection(
  client: SqlClient,
  name: string,
  text: string,
): Promise<void> {
  await client.query(`ALTER SUBSCRIPTION ${identifier(name)} CONNECTION ${literal(text)}`)
}

/** Takes in tables that were published since; makes slots on the publisher when it copies. */
export async function refreshSubscription(
  client: SqlClient,
  name: string,
  { copyData }: { readonly copyData: boolean },
): Promise<void> {
  await client.query(
    `ALTER SUBSCRIPTION ${identifier(name)} REFRESH PUBLICATION WITH (copy_data = ${copyData})`,
    undefined,
    { timeoutMs: createTimeoutMs },
  )
}

export interface DroppedSubscription {
  readonly existed: boolean
  /** A slot that is still on the publisher, for dropSlot(); null when there is none. */
  readonly slotLeft: string | null
}

/**
 * Also works when the publisher is out of reach; its slot is then left, as with `keepSlot`. Ends
 * the subscription's workers.
 */
export async function dropSubscription(
  client: SqlClient,
  name: string,
  { keepSlot }: { readonly keepSlot: boolean },
): Promise<DroppedSubscription> {
  const found = await client.query(
    `SELECT s.subslotname FROM pg_catalog.pg_subscription s WHERE ${isNamedSql(name)}`,
  )
  const [row] = found.rows
  if (row === undefined) return { existed: false, slotLeft: null }
  const slot = row[0] ?? null
  if (!keepSlot && slot !== null && (await dropsWithSlot(client, name)))
    return { existed: true, slotLeft: null }
  try {
    await disableSubscription(client, name)
    await client.query(`ALTER SUBSCRIPTION ${identifier(name)} SET (slot_name = NONE)`)
    await client.query(`DROP SUBSCRIPTION ${identifier(name)}`, undefined, {
      timeoutMs: createTimeoutMs,
    })
  } catch (error) {
    if (!hasSqlstate(error, undefinedObject)) throw error
  }
  return { existed: true, slotLeft: slot }
}

/** As dropSubscription() does it without the publisher; for people. */
export function dropSubscriptionSql(name: string): readonly string[] {
  const quoted = identifier(name)
  return [
    `ALTER SUBSCRIPTION ${quoted} DISABLE`,
    `ALTER SUBSCRIPTION ${quoted} SET (slot_name = NONE)`,
    `DROP SUBSCRIPTION ${quoted}`,
  ]
}

/**
 * Asks the publisher too. Whatever is the matter there, the way without it comes next; what the
 * subscriber itself refuses, it refuses there again.
 */
async function dropsWithSlot(client: SqlClient, name: string): Promise<boolean> {
  await client.query(`SET statement_timeout = ${farDropTimeoutMs}`)
  try {
    await client.query(`DROP SUBSCRIPTION ${identifier(name)}`)
    return true
  } catch (error) {
    if (!client.isOpen) throw error
    return false
  } finally {
    if (client.isOpen) await client.query('SET statement_timeout = 0')
  }
}

/**
 * Ends the worker (and its helpers) at once; gives how many were there. An enabled subscription
 * gets a new one, before 16 after 5 s at the earliest.
 */
export async function terminateApplyWorker(
  client: SqlClient,
  name: string,
  options?: SqlOptions,
): Promise<number> {
  const { rows } = await client.query(
    `SELECT pg_catalog.pg_terminate_backend(w.pid)
     FROM pg_catalog.pg_stat_subscription w
     WHERE w.pid IS NOT NULL AND w.subid IN (
       SELECT s.oid FROM ${subscriptionsSql(client.major)} s WHERE ${isNamedSql(name)})`,
    undefined,
    options,
  )
  return rows.length
}

/**
 * pg_subscription with its oid, which only a superuser may read before 14: there the view of the
 * workers has it, by a name that another database may use too, so only those that this database has
 * tables of count. Pontoon's have the heartbeat at least.
 */
export function subscriptionsSql(major: number): string {
  if (major >= 14) return 'pg_catalog.pg_subscription'
  return `(SELECT DISTINCT v.subid AS oid, p.subdbid, p.subname, p.subowner, p.subenabled,
      p.subslotname, p.subpublications
    FROM pg_catalog.pg_subscription p
    JOIN pg_catalog.pg_stat_subscription v ON v.subname = p.subname
    WHERE v.subid IN (SELECT r.srsubid FROM pg_catalog.pg_subscription_rel r))`
}

/** Oids of those of this database; the view of the workers has the whole cluster's. */
export function ownSubscriptionsSql(major: number): string {
  return `SELECT o.oid FROM ${subscriptionsSql(major)} o
    JOIN pg_catalog.pg_database d ON d.oid = o.subdbid
    WHERE d.datname = pg_catalog.current_database()`
}

/** Names of subscriptions are unique within a database only. */
export function isNamedSql(name: string): string {
  return `s.subname = ${literal(name)} AND s.subdbid = (
    SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())`
}
