/**
 * The keeper of the snapshot: a process of its own that makes the slot, and holds the snapshot that
 * comes with it, so that a copier that was killed finds it again. It ends when the copy is over,
 * when no copier has run for a while, or with its connection.
 */
import { spawn } from 'node:child_process'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { systemClock } from '../../../shared/clock.ts'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import { identifier, literal } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { readHeldSnapshot, readJob, writeHeldSnapshot, type HeldSnapshot } from './journal.ts'
import { copyLimits } from './limits.ts'

const lookEveryMs = 500
/** A firewall between us and the source must not take the silence for the end. */
const sayEveryMs = 30_000

export interface KeeperOptions {
  readonly context: MigrationContext
  readonly folder: string
  /** How long without a copier. */
  readonly keepMs: number
  readonly signal: AbortSignal
}

/** The keeper's life, in its own process. Resolves when there is nothing to hold any more. */
export async function keepSnapshot(options: KeeperOptions): Promise<void> {
  const { folder } = options
  const job = await readJob(folder)
  if (job?.stage !== 'preparing') return
  const say = (held: Omit<HeldSnapshot, 'job' | 'pid'>): Promise<void> =>
    writeHeldSnapshot(folder, { job: job.id, pid: process.pid, ...held })
  try {
    const { client, ...made } = await makeSnapshot(options, job.slot)
    try {
      await say({ state: 'held', ...made })
      await untilOver(options, client, job.id)
    } finally {
      client.close()
    }
    await say({ state: 'ended' })
  } catch (thrown) {
    await say({ state: 'failed', error: toPontoonError(thrown).message })
    throw thrown
  }
}

/**
 * The snapshot of a slot lives as long as its replication connection is silent. It is imported and
 * exported again by an ordinary transaction, which costs the source no WAL sender.
 */
async function makeSnapshot(
  { context, signal }: KeeperOptions,
  slot: string,
): Promise<{ client: SqlClient; snapshot: string; lsn: string }> {
  const sender = await connectAs(context, {
    side: 'source',
    purpose: 'replication',
    task: 'copy: slot',
    parameters: { replication: 'database' },
  })
  try {
    const { rows } = await sender.query(
      `CREATE_REPLICATION_SLOT ${identifier(slot)} LOGICAL pgoutput EXPORT_SNAPSHOT`,
      undefined,
      { timeoutMs: copyLimits.slotMs, signal },
    )
    const [, lsn = '', exported = ''] = rows[0] ?? []
    const client = await connectAs(context, {
      side: 'source',
      purpose: 'control',
      task: 'copy: snapshot',
    })
    await client.run(
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ' +
        `SET TRANSACTION SNAPSHOT ${literal(exported ?? '')}`,
    )
    const snapshot = (await client.value('SELECT pg_catalog.pg_export_snapshot()')) ?? ''
    return { client, snapshot, lsn: lsn ?? '' }
  } finally {
    sender.close()
  }
}

async function untilOver(
  { folder, keepMs, signal }: KeeperOptions,
  client: SqlClient,
  id: string,
): Promise<void> {
  let saidAtMs = systemClock.nowMs()
  while (!signal.aborted && client.isOpen) {
    const job = await readJob(folder)
    if (job?.id !== id || job.stage === 'done' || job.stage === 'aborted') return
    if (systemClock.wallMs() - (await copierSeenAtMs(folder)) > keepMs) return
    if (systemClock.nowMs() - saidAtMs > sayEveryMs) {
      saidAtMs = systemClock.nowMs()
      await client.value('SELECT 1')
    }
    await delay(lookEveryMs)
  }
}

/** The running copy touches its lock every two seconds; what is left of a dead one grows old. */
async function copierSeenAtMs(folder: string): Promise<number> {
  for (const name of ['lock', 'job.json']) {
    try {
      return (await stat(join(folder, name))).mtimeMs
    } catch {
      // No copy runs: what it wrote last counts.
    }
  }
  return 0
}

/**
 * Starts the keeper beyond the life of this process. `command` runs keepSnapshot for the folder.
 * Gives whether it has ended.
 */
export async function startKeeper(
  command: readonly string[],
  folder: string,
): Promise<() => boolean> {
  const [file = '', ...args] = command
  const log = await open(join(folder, 'keeper.log'), 'a', 0o600)
  try {
    const child = spawn(file, args, { detached: true, stdio: ['ignore', log.fd, log.fd] })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    child.unref()
    return () => child.exitCode !== null || child.signalCode !== null
  } finally {
    await log.close()
  }
}

export interface SnapshotWait {
  readonly folder: string
  /** Of the job. */
  readonly id: string
  readonly hasKeeperEnded: () => boolean
  readonly signal: AbortSignal
  /** Called now and then. */
  readonly onWait: () => Promise<void>
}

/** Waits for the keeper of this job. */
export async function awaitSnapshot({
  folder,
  id,
  hasKeeperEnded,
  signal,
  onWait,
}: SnapshotWait): Promise<{ snapshot: string; lsn: string }> {
  const deadlineMs = systemClock.nowMs() + copyLimits.slotMs
  while (systemClock.nowMs() < deadlineMs) {
    // Before what it has written is read: it may end right after that.
    const hasEnded = hasKeeperEnded()
    const held = await readHeldSnapshot(folder)
    if (held?.job === id && held.state === 'failed')
      throw new PontoonError('SQL_FAILED', held.error ?? 'the snapshot cannot be had')
    if (held?.job === id && held.snapshot !== undefined)
      return { snapshot: held.snapshot, lsn: held.lsn ?? '' }
    if (hasEnded)
      throw new PontoonError(
        'ABORTED',
        'The process that holds the snapshot has ended before it had one; ' +
          `${join(folder, 'keeper.log')} may say why. Nothing is copied yet: run it again.`,
      )
    await onWait()
    await delay(100, undefined, { signal })
  }
  throw new PontoonError('SQL_TIMEOUT', 'the replication slot did not become ready')
}
