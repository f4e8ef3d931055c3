/**
 * What a verification has done so far, a line of JSON at a time in `journal.jsonl` of its folder:
 * first what it is about, then the chunks of each table, then each chunk that was compared. A run
 * about the same goes on from it. A line that was torn by a crash is left out and its chunk is
 * compared again.
 */
import { createHash } from 'node:crypto'
import { open, readFile, rm, truncate, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { systemErrorCode } from '../../../shared/system-error.ts'
import { findingsSchema, type Findings } from './report.ts'
import type { KeyRange } from './row-reader.ts'
import type { ChunkPlan } from './chunk-plan.ts'

const bound = z.array(z.string()).nullable()
const lineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('begun'),
    version: z.literal(1),
    /** Hash of what was asked for. */
    subject: z.string(),
    atMs: z.number(),
  }),
  z.object({
    kind: z.literal('planned'),
    table: z.string(),
    ranges: z.array(z.object({ after: bound, upTo: bound })),
    rowsEstimated: z.number(),
  }),
  z.object({
    kind: z.literal('compared'),
    table: z.string(),
    chunk: z.number(),
    findings: findingsSchema,
  }),
])
type Line = z.infer<typeof lineSchema>

/** Older work says too little about the present. */
const ageMsMax = 24 * 3_600_000

interface TableProgress {
  plan: ChunkPlan | null
  readonly compared: Map<number, Findings>
}

export class Journal {
  /** When the work began, of the first run. */
  readonly begunAtMs: number
  readonly isResumed: boolean
  readonly #file: FileHandle | null
  readonly #tables: Map<string, TableProgress>

  private constructor(
    file: FileHandle | null,
    tables: Map<string, TableProgress>,
    begunAtMs: number,
    isResumed: boolean,
  ) {
    this.#file = file
    this.#tables = tables
    this.begunAtMs = begunAtMs
    this.isResumed = isResumed
  }

  /** Without a file, for a verification that is not gone on with. */
  static inMemory(nowMs: number): Journal {
    return new Journal(null, new Map(), nowMs, false)
  }

  /** `subject`: all that decides what is compared. The folder's lock is held by the caller. */
  static async open(folder: string, subject: unknown, nowMs: number): Promise<Journal> {
    const path = join(folder, 'journal.jsonl')
    const hash = createHash('sha256').update(JSON.stringify(subject)).digest('hex')
    const { lines, wholeBytes } = await readLines(path)
    const [first] = lines
    const goesOn =
      first?.kind === 'begun' && first.subject === hash && nowMs - first.atMs < ageMsMax
    if (goesOn) await truncate(path, wholeBytes)
    else await rm(path, { force: true })
    const journal = new Journal(
      await open(path, 'a', 0o600),
      goesOn ? tablesOf(lines) : new Map<string, TableProgress>(),
      goesOn ? first.atMs : nowMs,
      goesOn,
    )
    if (!goesOn) await journal.#append({ kind: 'begun', version: 1, subject: hash, atMs: nowMs })
    return journal
  }

  planOf(table: string): ChunkPlan | null {
    return this.#tables.get(table)?.plan ?? null
  }

  async planned(table: string, plan: ChunkPlan): Promise<void> {
    this.#progress(table).plan = plan
    const ranges = plan.ranges.map(({ after, upTo }) => ({
      after: copied(after),
      upTo: copied(upTo),
    }))
    await this.#append({ kind: 'planned', table, ranges, rowsEstimated: plan.rowsEstimated })
  }

  isCompared(table: string, chunk: number): boolean {
    return this.#tables.get(table)?.compared.has(chunk) === true
  }

  async compared(table: string, chunk: number, findings: Findings): Promise<void> {
    this.#progress(table).compared.set(chunk, findings)
    await this.#append({ kind: 'compared', table, chunk, findings })
  }

  /** In the order of the chunks. */
  findings(table: string): readonly Findings[] {
    const compared = this.#tables.get(table)?.compared ?? new Map<number, Findings>()
    return [...compared].toSorted(([one], [two]) => one - two).map(([, findings]) => findings)
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }

  #progress(table: string): TableProgress {
    const found = this.#tables.get(table) ?? { plan: null, compared: new Map<number, Findings>() }
    this.#tables.set(table, found)
    return found
  }

  async #append(line: Line): Promise<void> {
    await this.#file?.appendFile(`${JSON.stringify(line)}\n`)
  }
}

/** Whether a run may go on from an earlier one. */
export async function hasJournal(folder: string): Promise<boolean> {
  return (await contentOf(join(folder, 'journal.jsonl'))) !== ''
}

/** After the report is written. */
export async function removeJournal(folder: string): Promise<void> {
  await rm(join(folder, 'journal.jsonl'), { force: true })
}

function tablesOf(lines: readonly Line[]): Map<string, TableProgress> {
  const tables = new Map<string, TableProgress>()
  for (const line of lines) {
    if (line.kind === 'begun') continue
    const found = tables.get(line.table) ?? { plan: null, compared: new Map<number, Findings>() }
    tables.set(line.table, found)
    if (line.kind === 'planned') found.plan = line
    else found.compared.set(line.chunk, line.findings)
  }
  return tables
}

async function readLines(path: string): Promise<{ lines: readonly Line[]; wholeBytes: number }> {
  const lines: Line[] = []
  let wholeBytes = 0
  for (const text of (await contentOf(path)).split('\n').slice(0, -1)) {
    const line = lineOf(text)
    // What follows a damaged line cannot be trusted either.
    if (line === null) break
    lines.push(line)
    wholeBytes += Buffer.byteLength(text) + 1
  }
  return { lines, wholeBytes }
}

function lineOf(text: string): Line | null {
  try {
    return lineSchema.parse(JSON.parse(text))
  } catch {
    return null
  }
}

async function contentOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return ''
    throw error
  }
}

function copied(values: KeyRange['after']): string[] | null {
  return values === null ? null : [...values]
}
