/**
 * Compares the rows of all tables of a service on both sides, while both are in use. Chunks are
 * compared by a few jobs at once (compare-chunk.ts), and each is in the journal when it is done.
 */
import type { Clock } from '../../../shared/clock.ts'
import { systemClock } from '../../../shared/clock.ts'
import { toPontoonError, type PontoonError } from '../../../shared/errors.ts'
import { otherSide } from '../../../shared/side.ts'
import type { QualifiedName } from '../quote.ts'
import type { MigrationContext } from '../side-login.ts'
import { Alignment } from './alignment.ts'
import type { BothSides } from './both-sides.ts'
import { chunkLine, Pace, type Chunk } from './chunk-line.ts'
import { planChunks } from './chunk-plan.ts'
import { compareChunk } from './compare-chunk.ts'
import {
  chooseTables,
  type ChooseOptions,
  type Chosen,
  type ComparedTable,
} from './compared-table.ts'
import { changedMeanwhile } from './changed-meanwhile.ts'
import { refuseUnready } from './readiness.ts'
import { Journal } from './journal.ts'
import { Repair, type RepairedRow } from './repair.ts'
import { addFindings, noFindings } from './report.ts'
import type { Findings, TableReport, TablesReport } from './report.ts'
import { describeRows } from './row-details.ts'
import type { RowReader } from './row-reader.ts'
import { readSetting, type Setting } from './setting.ts'
import { looksAt, settleRows, type Settled } from './settle-rows.ts'
import { SidePool } from './side-pool.ts'
import { withoutText } from './value-text.ts'

export interface VerifyTablesOptions {
  readonly context: MigrationContext
  /** `schema.table`. */
  readonly exclude?: readonly string[]
  /** All tables when empty. */
  readonly only?: readonly string[]
  /** Chunks compared at once; each takes a session on either side. */
  readonly jobs?: number
  readonly chunkRows?: number
  /** Compares keys only: which rows there are, not what is in them. */
  readonly keysOnly?: boolean
  /** Rows per second on each side; null without a limit. */
  readonly rateRows?: number | null
  readonly statementTimeoutMs?: number
  /** How long the other side may take to apply what the primary side has committed. */
  readonly syncTimeoutMs?: number
  /** Rows that are listed of each table; all are counted. */
  readonly listedMax?: number
  readonly showValues?: boolean
  /** Compares without waiting for sync, although there is one. */
  readonly asIs?: boolean
  readonly repair?: boolean
  /** Of the journal; null to keep none. Its lock is held by the caller. */
  readonly folder?: string | null
  readonly signal?: AbortSignal
  readonly clock?: Clock
  readonly onProgress?: (progress: VerifyProgress) => void
  /** An earlier run is gone on with. */
  readonly onResume?: () => void
}

export interface VerifyProgress {
  readonly rows: number
  /** An estimate. */
  readonly rowsTotal: number
  readonly differing: number
  /** Tables under way. */
  readonly active: readonly {
    readonly table: string
    readonly rows: number
    readonly rowsTotal: number
  }[]
}

export interface VerifiedTables {
  readonly data: TablesReport
  /** Tables whose rows replication does not carry; they were left out. */
  readonly unlogged: readonly QualifiedName[]
}

export const verifyDefaults = {
  jobs: 2,
  chunkRows: 100_000,
  statementTimeoutMs: 600_000,
  syncTimeoutMs: 60_000,
  listedMax: 100,
} as const

/** Rejects with MIGRATION_REFUSED, SYNC_BEHIND, SQL_FAILED, SQL_TIMEOUT or the signal's reason. */
export async function verifyTables(options: VerifyTablesOptions): Promise<VerifiedTables> {
  const { context, exclude = [], clock = systemClock } = options
  const setting = await readSetting(context, exclude)
  const chosen = chooseTables(choiceOf(options, setting))
  refuseUnready(options, setting, chosen)
  const journal = await openJournal(options, setting, clock)
  if (journal.isResumed) options.onResume?.()
  const stop = new AbortController()
  const signals = options.signal === undefined ? [] : [options.signal]
  const signal = AbortSignal.any([stop.signal, ...signals])
  let run: Run | undefined
  try {
    run = await Run.open({ ...options, signal, clock }, setting, chosen, journal)
    const data = await run.all(stop)
    const after = await readSetting(context, exclude)
    const leftOut = changedMeanwhile(setting, chosen, after, chooseTables(choiceOf(options, after)))
    return { data: { ...data, leftOut: [...data.leftOut, ...leftOut] }, unlogged: chosen.unlogged }
  } finally {
    run?.close()
    await journal.close()
  }
}

function choiceOf(options: VerifyTablesOptions, setting: Setting): ChooseOptions {
  const { keysOnly = false, only = [] } = options
  return { ...setting.catalogues, form: setting.form, keysOnly, only }
}

async function openJournal(
  options: VerifyTablesOptions,
  setting: Setting,
  clock: Clock,
): Promise<Journal> {
  const { folder = null } = options
  if (folder === null) return Journal.inMemory(clock.wallMs())
  const { primary, form, catalogues } = setting
  const tables = [catalogues.primary, catalogues.other].map((side) =>
    side.tables.map(({ schema, name, oid, columns, primaryKey }) => ({
      schema,
      name,
      oid,
      columns,
      primaryKey,
    })),
  )
  const { only = [], keysOnly = false, asIs = false } = options
  const { repair = false, showValues = false, listedMax = 0 } = options
  const asked = { only, keysOnly, asIs, repair, showValues, listedMax }
  const subject = { primary, form, tables, asked, identity: setting.identity }
  return await Journal.open(folder, subject, clock.wallMs())
}

type RunOptions = VerifyTablesOptions & { readonly signal: AbortSignal; readonly clock: Clock }

class Run {
  readonly #options: RunOptions
  readonly #setting: Setting
  readonly #chosen: Chosen
  readonly #journal: Journal
  readonly #sides: BothSides
  readonly #repair: Repair | null
  readonly #listedMax: number
  readonly #startedAtMs: number
  /** Tables with chunks under way, and how many. */
  readonly #active = new Map<string, number>()
  /** By table, of all its chunks that are compared. */
  readonly #sums = new Map<string, Findings>()

  private constructor(
    options: RunOptions,
    setting: Setting,
    chosen: Chosen,
    journal: Journal,
    sides: BothSides,
    repair: Repair | null,
  ) {
    this.#options = options
    this.#setting = setting
    this.#chosen = chosen
    this.#journal = journal
    this.#sides = sides
    this.#repair = repair
    this.#listedMax = options.listedMax ?? verifyDefaults.listedMax
    this.#startedAtMs = options.clock.nowMs()
    for (const { label } of chosen.compared)
      for (const findings of journal.findings(label)) this.#add(label, findings)
  }

  static async open(
    options: RunOptions,
    setting: Setting,
    chosen: Chosen,
    journal: Journal,
  ): Promise<Run> {
    const { context, signal, jobs = verifyDefaults.jobs } = options
    const { primary } = setting
    const timeoutMs = options.syncTimeoutMs ?? verifyDefaults.syncTimeoutMs
    const isAligned = setting.sync === 'running' && options.asIs !== true
    const alignment = isAligned
      ? await Alignment.open({ context, primary, timeoutMs, signal })
      : null
    try {
      // Proves that changes arrive at all, before anything is called equal.
      await alignment?.caughtUp()
      const repair =
        options.repair === true ? await Repair.open({ context, primary, alignment, signal }) : null
      const statement = {
        timeoutMs: options.statementTimeoutMs ?? verifyDefaults.statementTimeoutMs,
        signal,
      }
      const sides = {
        primary: new SidePool(context, primary, jobs),
        other: new SidePool(context, otherSide(primary), jobs),
        alignment,
        statement,
      }
      return new Run(options, setting, chosen, journal, sides, repair)
    } catch (error) {
      alignment?.close()
      throw error
    }
  }

  close(): void {
    this.#sides.primary.close()
    this.#sides.other.close()
    this.#sides.alignment?.close()
    this.#repair?.close()
  }

  /** `stop` ends the other jobs when one fails. */
  async all(stop: AbortController): Promise<TablesReport> {
    const { jobs = verifyDefaults.jobs, rateRows = null, clock, signal } = this.#options
    const pace = new Pace(rateRows, clock)
    const line = chunkLine({
      tables: this.#chosen.compared,
      form: this.#setting.form,
      journal: this.#journal,
      plan: (reader) => this.#plan(reader),
    })
    const work = async (): Promise<void> => {
      for (;;) {
        await pace.turn(signal)
        const next = await line.next()
        if (next.done === true) return
        pace.spent(await this.#chunk(next.value).catch(withoutText(next.value.reader)))
      }
    }
    let failure: PontoonError | null = null
    const job = (): Promise<void> =>
      work().catch((error: unknown) => {
        failure ??= toPontoonError(error)
        stop.abort(failure)
      })
    await Promise.all(Array.from({ length: jobs }, job))
    if (failure !== null) throw failure as PontoonError
    await this.#sides.alignment?.caughtUp()
    return this.#report()
  }

  async #plan(reader: RowReader): ReturnType<typeof planChunks> {
    const { chunkRows = verifyDefaults.chunkRows, rateRows = null } = this.#options
    // A chunk is read at full speed: it should not hold more than a second's worth.
    const rows = rateRows === null ? chunkRows : Math.max(1_000, Math.min(chunkRows, rateRows))
    const { primary, statement } = this.#sides
    return await primary.use(
      (client) => planChunks(client, reader, rows, statement),
      statement.signal,
    )
  }

  /** How many rows it had. */
  async #chunk({ reader, at, range }: Chunk): Promise<number> {
    const { label } = reader.table
    this.#active.set(label, (this.#active.get(label) ?? 0) + 1)
    this.#progress()
    const result = await compareChunk(this.#sides, reader, range)
    const found = await this.#findings(reader, result)
    const findings = { ...found, rows: result.rows, otherRows: result.otherRows }
    await this.#journal.compared(label, at, findings)
    this.#add(label, findings)
    const left = (this.#active.get(label) ?? 1) - 1
    if (left > 0) this.#active.set(label, left)
    else this.#active.delete(label)
    this.#progress()
    return result.rows
  }

  async #findings(reader: RowReader, { differing, unsettled }: Settled): Promise<Findings> {
    if (differing.length + unsettled.length === 0) return noFindings
    const listed = differing.slice(0, this.#listedMax)
    const differences = await describeRows(
      this.#sides,
      reader,
      listed,
      this.#options.showValues === true,
    )
    const repairs = await this.#repaired(reader, differing)
    return {
      ...noFindings,
      differing: differing.length,
      unsettled: unsettled.length,
      differences: [...differences],
      unsettledKeys: unsettled.slice(0, this.#listedMax).map((key) => [...key]),
      repairs: repairs.map((one) => ({ ...one, key: [...one.key] })),
      repaired: repairs.filter(({ action }) => action !== 'failed').length,
    }
  }

  async #repaired(
    reader: RowReader,
    differing: Settled['differing'],
  ): Promise<readonly RepairedRow[]> {
    if (this.#repair === null || differing.length === 0) return []
    // Surplus rows first: a row of another spelling of the same key would be in the way.
    const ordered = differing.toSorted(
      (one, two) => (one.primary?.rows ?? 0) - (two.primary?.rows ?? 0),
    )
    const keys = ordered.map(({ key }) => key)
    const done = await this.#repair.repair(reader, keys)
    const still = await settleRows(looksAt(this.#sides, reader), keys)
    const wrong = new Set(still.differing.map(({ key }) => JSON.stringify(key)))
    return done.map((one) =>
      one.action !== 'failed' && wrong.has(JSON.stringify(one.key))
        ? { ...one, action: 'failed', reason: `${one.action}, and it differs again` }
        : one,
    )
  }

  #progress(): void {
    const { onProgress } = this.#options
    if (onProgress === undefined) return
    const tables = this.#chosen.compared.map((table) => this.#amounts(table))
    onProgress({
      rows: tables.reduce((sum, { rows }) => sum + rows, 0),
      rowsTotal: tables.reduce((sum, { rowsTotal }) => sum + rowsTotal, 0),
      differing: tables.reduce((sum, { differing }) => sum + differing, 0),
      active: tables.filter(({ table }) => this.#active.has(table)),
    })
  }

  #amounts({ label, rowsEstimated }: ComparedTable): {
    table: string
    rows: number
    rowsTotal: number
    differing: number
  } {
    const counts = this.#sum(label)
    const planned = this.#journal.planOf(label)?.rowsEstimated ?? Math.max(0, rowsEstimated)
    const rowsTotal = Math.max(planned, counts.rows)
    return { table: label, rows: counts.rows, rowsTotal, differing: counts.differing }
  }

  #sum(table: string): Findings {
    return this.#sums.get(table) ?? noFindings
  }

  #add(table: string, findings: Findings): void {
    this.#sums.set(table, addFindings(this.#sum(table), findings, this.#listedMax))
  }

  #report(): TablesReport {
    const { primary, sync } = this.#setting
    const { keysOnly = false } = this.#options
    const isAligned = this.#sides.alignment !== null
    const tables: TableReport[] = this.#chosen.compared.map((table) => ({
      ...this.#sum(table.label),
      table: table.label,
      method: table.method,
      chunks: this.#journal.findings(table.label).length,
      warnings: [...table.warnings],
    }))
    const unaligned =
      sync === 'none'
        ? 'nothing carries changes to the other side yet: the sides were compared as they are'
        : 'the sides were compared as they are, without waiting for sync'
    return {
      primary,
      isAligned,
      keysOnly,
      tables: tables.toSorted((one, two) => (one.table < two.table ? -1 : 1)),
      leftOut: this.#chosen.leftOut.map((one) => ({ ...one })),
      warnings: isAligned ? [] : [unaligned],
      elapsedMs: Math.round(this.#options.clock.nowMs() - this.#startedAtMs),
    }
  }
}
