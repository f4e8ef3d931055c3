/**
 * A whole copy, or the rest of one that was stopped: rows out of the snapshot, indexes and keys
 * per table, foreign keys, the subscription. Every step finds out by itself what is there already.
 *
 * When the snapshot is lost (its keeper or the source was restarted): tables that are whole stay,
 * the rest is left to the table sync of the server. When the slot is lost too, changes are missing
 * for all of them, and all is copied again from a new one.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Clock } from '../../../shared/clock.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { qualified, readable } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { readSlot } from '../slot.ts'
import { readSubscription } from '../subscription-state.ts'
import { startOver } from './abandon.ts'
import { Builders } from './build.ts'
import { assertNotOutdone, assertOwner, readChunkMarks } from './chunk-marks.ts'
import { readDefinitions, type TableDefinitions } from './definitions.ts'
import { refuseIntoPrimary } from './direction.ts'
import { referencedTables } from './empty.ts'
import { awaitTableSync, emptyLeft, follow, leftOf, withApplyStopped } from './follow.ts'
import { readHeldSnapshot, readJob, writeJob, type CopyJob } from './journal.ts'
import { copyRows, type RowsOutcome } from './rows.ts'
import { buildMemoryOf, mayReplicate } from './session.ts'
import { startCopy } from './start.ts'
import { Tally } from './tally.ts'
import { lockTarget } from './target-lock.ts'
import type { Throttle } from './throttle.ts'
import { copyUnpublished } from './unpublished.ts'
import { apartFromSwitches, dropWayBack } from './way-back.ts'
import { note, type CopyEvent, type CopyStage, type CopyWork } from './work.ts'

export interface RunOptions {
  readonly context: MigrationContext
  readonly folder: string
  readonly exclude: readonly string[]
  readonly jobs: number
  readonly chunkBytes?: number | undefined
  readonly restart: boolean
  readonly keeperCommand: readonly string[]
  readonly throttle: Throttle
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onEvent: (event: CopyEvent) => void
  /** Called when rows begin to flow; the tally is alive. */
  readonly onTally: (tally: Tally) => void
  readonly onStage: (stage: CopyStage) => void
}

export interface CopyReport {
  readonly tables: number
  readonly rows: number
  readonly bytes: number
  readonly tookMs: number
  /** Copied by the server's table sync, since the snapshot was lost for them. */
  readonly leftToSync: readonly string[]
  readonly slot: string
}

export async function runCopy(options: RunOptions): Promise<CopyReport> {
  const { context } = options
  const [source, target] = await Promise.all([
    connectAs(context, { side: 'source', purpose: 'control', task: 'copy' }),
    connectAs(context, { side: 'target', purpose: 'control', task: 'copy' }),
  ])
  try {
    await lockTarget(target, options.signal)
    await refuseIntoPrimary(source, target)
    let job = await jobToRun(options, source, target)
    for (;;) {
      const outcome = await new CopyRun(options, job, source, target).run()
      if (outcome !== 'slot-lost') return outcome
      options.onEvent({
        kind: 'note',
        words:
          'The replication slot is gone, and changes with it: all is copied again from a new one.',
      })
      job = await freshJob(options, source, target, job)
    }
  } finally {
    source.close()
    target.close()
  }
}

/** The one that was stopped, or a new one. */
async function jobToRun(
  options: RunOptions,
  source: SqlClient,
  target: SqlClient,
): Promise<CopyJob> {
  const found = await readJob(options.folder)
  if (options.restart) return freshJob(options, source, target, found)
  if (found?.stage === 'done')
    throw new PontoonError(
      'MIGRATION_REFUSED',
      `This copy ended at ${new Date(found.endedAtMs ?? 0).toISOString()}, and its subscription is gone. ` +
        '--restart empties the target and copies all again.',
    )
  if (found?.stage !== 'copying' && found?.stage !== 'following')
    return startCopy({ ...options, source, target, ...startDefaults(options, false) })
  const { context } = options
  if (found.stage === 'copying')
    await apartFromSwitches(context, (owners) => dropWayBack(context, owners))
  options.onEvent({ kind: 'note', words: 'Going on with the copy that was stopped.' })
  return found
}

async function freshJob(
  options: RunOptions,
  source: SqlClient,
  target: SqlClient,
  job: CopyJob | undefined,
): Promise<CopyJob> {
  const { context, folder } = options
  await apartFromSwitches(context, (owners) => startOver(context, owners, folder, job))
  return startCopy({ ...options, source, target, ...startDefaults(options, true) })
}

function startDefaults(
  { clock, onEvent }: RunOptions,
  mayEmpty: boolean,
): { mayEmpty: boolean; startedAtMs: number; note: (words: string) => void } {
  return {
    mayEmpty,
    startedAtMs: clock.wallMs(),
    note: (words) => onEvent({ kind: 'note', words }),
  }
}

class CopyRun {
  readonly #options: RunOptions
  #source: SqlClient
  #target: SqlClient
  readonly #reopened: SqlClient[] = []
  #work: CopyWork

  constructor(options: RunOptions, job: CopyJob, source: SqlClient, target: SqlClient) {
    this.#options = options
    this.#source = source
    this.#target = target
    const { context, folder, jobs, exclude, throttle, clock, signal, onEvent } = options
    const tally = new Tally(job.tables)
    this.#work = { context, job, folder, jobs, exclude, throttle, tally, clock, signal, onEvent }
  }

  async run(): Promise<CopyReport | 'slot-lost'> {
    const definitions = await readDefinitions(this.#source, this.#work.exclude)
    const memoryBytes = await buildMemoryOf(this.#target, this.#work.jobs)
    const builders = new Builders(this.#work, memoryBytes)
    const progress = setInterval(() => this.#showBuilding(builders), 500)
    try {
      if (!(await this.#isFollowed()) && !(await this.#hasSlot())) {
        await assertNotOutdone(this.#target, this.#work.job.id)
        return 'slot-lost'
      }
      await this.#ensureOurs()
      if (this.#work.job.stage === 'copying') await this.#copy(builders, definitions)
      await this.#ensureOurs()
      const left = leftOf(this.#work)
      if (left.length === 0) await this.#addForeignKeys(builders, definitions)
      await this.#follow()
      if (left.length > 0) {
        await awaitTableSync(this.#work, this.#target, (count) =>
          this.#show({ name: 'sync', done: left.length - count, total: left.length }),
        )
        await withApplyStopped(this.#work, () => this.#addForeignKeys(builders, definitions))
      }
      return await this.#end()
    } finally {
      clearInterval(progress)
      builders.close()
      for (const client of this.#reopened) client.close()
    }
  }

  /** Rows and what stands on them; what cannot be had is left to the table sync. */
  async #copy(
    builders: Builders,
    definitions: ReadonlyMap<string, TableDefinitions>,
  ): Promise<void> {
    const building: Promise<void>[] = []
    const failed = new AbortController()
    const build = (key: string): void => {
      const table = definitions.get(key)
      if (table === undefined) return
      const built = builders.buildTable(table)
      // Heard when all are awaited; the rows stop at once.
      built.catch((error: unknown) => failed.abort(error))
      building.push(built)
    }
    const signal = AbortSignal.any([this.#work.signal, failed.signal])
    try {
      const outcome = await this.#copyRows({ ...this.#work, signal }, build)
      await this.#ensureOurs()
      await this.#leaveRest(outcome)
    } finally {
      await Promise.allSettled(building)
    }
    await Promise.all(building)
    await this.#save(await copyUnpublished(this.#work, this.#source, this.#target, build))
    await emptyLeft(this.#work, this.#source, this.#target)
    for (const table of leftOf(this.#work)) build(qualified(table))
    await Promise.all(building)
    await builders.joinPartitions(definitions)
  }

  async #copyRows(work: CopyWork, build: (key: string) => void): Promise<RowsOutcome> {
    const { job, tally, folder } = work
    const marks = await readChunkMarks(this.#target, job.id)
    for (const mark of marks) tally.count(mark)
    this.#options.onTally(tally)
    const held = await readHeldSnapshot(folder)
    const snapshot = held?.job === job.id && held.state === 'held' ? held.snapshot : undefined
    const referenced = await referencedTables(this.#target)
    const free = job.tables.map(qualified).filter((name) => !referenced.has(name))
    return copyRows(work, {
      // A name that no server knows: the first to ask finds the snapshot lost.
      snapshot: snapshot ?? '00000000-00000000-1',
      mayReplicate: await mayReplicate(this.#target, work.exclude),
      mayTruncate: new Set(free),
      marks,
      onTable: (table) => {
        const rows = tally.tables().find((one) => qualified(one) === qualified(table))?.rows ?? 0
        work.onEvent({ kind: 'table', table: readable(table), rows })
        build(qualified(table))
      },
    })
  }

  /**
   * The connections, made anew where a restart of a server has ended them, and with that of the
   * target its lock. Rejects with MIGRATION_REFUSED once another copy has begun.
   */
  async #ensureOurs(): Promise<void> {
    const { context, job, signal } = this.#work
    const login = { purpose: 'control', task: 'copy' } as const
    if (!this.#source.isOpen) {
      this.#source = await connectAs(context, { side: 'source', ...login })
      this.#reopened.push(this.#source)
    }
    if (!this.#target.isOpen) {
      this.#target = await connectAs(context, { side: 'target', ...login })
      this.#reopened.push(this.#target)
      await lockTarget(this.#target, signal, { isAgain: true })
    }
    await assertOwner(this.#target, job.id)
  }

  /** Remembers which tables the snapshot cannot give any more. */
  async #leaveRest({ isSnapshotLost, rewritten }: RowsOutcome): Promise<void> {
    if (!isSnapshotLost && rewritten.size === 0) return
    const marks = await readChunkMarks(this.#target, this.#work.job.id)
    const arrived = new Map<string, number>()
    for (const mark of marks) arrived.set(qualified(mark), (arrived.get(qualified(mark)) ?? 0) + 1)
    const tables = this.#work.job.tables.map((table) => {
      const isWhole = arrived.get(qualified(table)) === table.chunkPages.length
      const isLeft = !isWhole || rewritten.has(qualified(table))
      return isLeft ? { ...table, isLeftToSync: true } : table
    })
    await this.#save({ ...this.#work.job, tables })
    const left = leftOf(this.#work).map(readable)
    if (left.length === 0) return
    const why = isSnapshotLost
      ? 'The snapshot is gone (its keeper or the source was restarted)'
      : 'Tables were truncated or rewritten on the source'
    note(
      this.#work,
      `${why}: the table sync of the target copies ${left.join(', ')}. All others stay.`,
    )
  }

  async #isFollowed(): Promise<boolean> {
    return (await readSubscription(this.#target, this.#work.job.slot)) !== undefined
  }

  async #hasSlot(): Promise<boolean> {
    const slot = await readSlot(this.#source, this.#work.job.slot)
    return slot !== undefined && slot.walStatus !== 'lost'
  }

  async #addForeignKeys(
    builders: Builders,
    definitions: ReadonlyMap<string, TableDefinitions>,
  ): Promise<void> {
    this.#show({ name: 'foreign keys', done: 0, total: 1 })
    await builders.addForeignKeys(definitions)
  }

  async #follow(): Promise<void> {
    await this.#ensureOurs()
    // Before: a table that the table sync has brought would else be emptied again after a crash.
    if (this.#work.job.stage === 'copying')
      await this.#save({ ...this.#work.job, stage: 'following' })
    await follow(this.#work, this.#source)
  }

  async #end(): Promise<CopyReport> {
    const { clock, tally } = this.#work
    const endedAtMs = clock.wallMs()
    await this.#save({ ...this.#work.job, stage: 'done', endedAtMs })
    const { job } = this.#work
    // The tally has none of the rows when an earlier run had brought them all.
    const marks = await readChunkMarks(this.#target, job.id)
    const { bytes } = tally.sum()
    return {
      tables: job.tables.length,
      rows: marks.reduce((sum, { rows }) => sum + rows, 0),
      bytes,
      tookMs: endedAtMs - job.startedAtMs,
      leftToSync: leftOf(this.#work).map(readable),
      slot: job.slot,
    }
  }

  async #save(job: CopyJob): Promise<void> {
    this.#work = { ...this.#work, job }
    await writeJob(this.#work.folder, job)
  }

  #showBuilding(builders: Builders): void {
    const { doneBytes, bytes } = this.#work.tally.sum()
    const name = doneBytes < bytes ? 'copy' : 'indexes'
    this.#show({ name, ...builders.progress })
  }

  #show(stage: CopyStage): void {
    this.#options.onStage(stage)
  }
}
