/**
 * How long work shows itself while it runs, all of it on stderr so that stdout has the result only:
 * a bar with what is under way on a terminal, a line now and then elsewhere, JSON lines with
 * --json. Used by copy, verify and schema; knows nothing of what they do.
 */
import { systemClock, type Clock } from '../shared/clock.ts'
import { displayWidth, padToWidth, printable } from './display-width.ts'
import { formatDuration } from './duration.ts'
import type { Streams } from './output.ts'
import { formatAmount, type ProgressUnit } from './progress-amount.ts'

export interface ProgressItem {
  readonly name: string
  readonly done: number
  /** Null where nobody knows. */
  readonly total: number | null
}

/** The whole picture at one moment. */
export interface ProgressReport extends ProgressItem {
  readonly unit: ProgressUnit
  /** Rows so far, where the unit is another. */
  readonly rows?: number
  /** What is under way, in the same unit. */
  readonly active?: readonly ProgressItem[]
  /** Such as `paused`. */
  readonly note?: string
}

export interface ProgressOptions {
  readonly json: boolean
  readonly streams: Streams
  readonly clock?: Clock
}

interface Sample {
  readonly atMs: number
  readonly done: number
}

const terminalEveryMs = 200
const jsonEveryMs = 1_000
const linesEveryMs = 10_000
/** The rate is that of the last few seconds: it shows what a throttle or a pause does. */
const rateWindowMs = 10_000
const samplesMax = 64
const activeLinesMax = 8
const barCells = 24

export class Progress {
  readonly #json: boolean
  readonly #streams: Streams
  readonly #clock: Clock
  #samples: Sample[] = []
  #name = ''
  #shownAtMs = Number.NEGATIVE_INFINITY
  /** Lines of the terminal that the last picture takes. */
  #linesUp = 0

  constructor({ json, streams, clock = systemClock }: ProgressOptions) {
    this.#json = json
    this.#streams = streams
    this.#clock = clock
  }

  /** May be called as often as it likes: it is shown now and then, and when `name` changes. */
  report(report: ProgressReport): void {
    const nowMs = this.#clock.nowMs()
    const isNew = report.name !== this.#name
    if (isNew) this.#samples = []
    this.#name = report.name
    if (!isNew && nowMs - this.#shownAtMs < this.#everyMs()) return
    this.#shownAtMs = nowMs
    this.#samples.push({ atMs: nowMs, done: report.done })
    while (this.#samples.length > samplesMax || this.#isOld(nowMs)) this.#samples.shift()
    const rate = this.#ratePerSecond()
    const columns = this.#streams.errColumns?.()
    if (this.#json) this.#streams.err(`${JSON.stringify(jsonOf(report, rate))}\n`)
    else if (columns === undefined) this.#streams.err(`${summary(report, rate)}\n`)
    else this.#draw(picture(report, rate), columns)
  }

  /** Something that happened once. `fields` are for machines, `human` for people. */
  event(name: string, fields: Readonly<Record<string, unknown>>, human: string): void {
    this.#erase()
    const line = this.#json ? JSON.stringify({ event: name, ...fields }) : printable(human)
    this.#streams.err(`${line}\n`)
  }

  /** Takes the bar away. */
  close(): void {
    this.#erase()
  }

  #everyMs(): number {
    if (this.#json) return jsonEveryMs
    return this.#streams.errColumns?.() === undefined ? linesEveryMs : terminalEveryMs
  }

  #isOld(nowMs: number): boolean {
    const second = this.#samples[1]
    return second !== undefined && nowMs - second.atMs >= rateWindowMs
  }

  /** Null until there is something to measure. */
  #ratePerSecond(): number | null {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return null
    return Math.max(0, ((last.done - first.done) * 1_000) / (last.atMs - first.atMs))
  }

  #draw(lines: readonly string[], columns: number): void {
    this.#erase()
    const cut = lines.map((line) => cutToWidth(line, Math.max(20, columns - 1)))
    this.#streams.err(`${cut.join('\n')}\n`)
    this.#linesUp = cut.length
  }

  /** Up to the first line of the picture, and clear from there (ECMA-48 CPL, ED). */
  #erase(): void {
    if (this.#linesUp > 0) this.#streams.err(`\u001b[${this.#linesUp}F\u001b[J`)
    this.#linesUp = 0
  }
}

function jsonOf(report: ProgressReport, rate: number | null): object {
  return {
    event: 'progress',
    ...report,
    ratePerSecond: rate === null ? null : Math.round(rate),
    etaMs: etaMs(report, rate),
  }
}

function etaMs({ done, total }: ProgressItem, rate: number | null): number | null {
  if (total === null || rate === null || rate <= 0) return null
  return Math.round((Math.max(0, total - done) / rate) * 1_000)
}

function summary(report: ProgressReport, rate: number | null): string {
  const { name, done, total, unit, rows, note } = report
  const left = etaMs(report, rate)
  const ofTotal = total === null ? '' : ` of ${formatAmount(total, unit)} (${percent(done, total)})`
  return [
    `${printable(name)}: ${formatAmount(done, unit)}${ofTotal}`,
    ...(rows === undefined ? [] : [formatAmount(rows, 'rows')]),
    ...(rate === null ? [] : [`${formatAmount(rate, unit)}/s`]),
    ...(left === null ? [] : [`${formatDuration(left)} left`]),
    ...(note === undefined ? [] : [note]),
  ].join(', ')
}

function picture(report: ProgressReport, rate: number | null): readonly string[] {
  const active = report.active ?? []
  const width = Math.max(0, ...active.map(({ name }) => displayWidth(printable(name))))
  const lines = active.slice(0, activeLinesMax).map(({ name, done, total }) => {
    const amount = formatAmount(done, report.unit)
    return `  ${padToWidth(printable(name), width)}  ${bar(done, total)}  ${amount}`
  })
  const more = active.length - activeLinesMax
  return [
    `${bar(report.done, report.total)}  ${summary(report, rate)}`,
    ...lines,
    ...(more > 0 ? [`  and ${more} more`] : []),
  ]
}

function bar(done: number, total: number | null): string {
  if (total === null) return `[${'·'.repeat(barCells)}]`
  const full = Math.round(barCells * share(done, total))
  return `[${'█'.repeat(full)}${'·'.repeat(barCells - full)}]`
}

function percent(done: number, total: number): string {
  return `${Math.floor(share(done, total) * 100)}%`
}

/** Totals are estimates: more than all is all. */
function share(done: number, total: number): number {
  return total <= 0 ? 1 : Math.min(1, done / total)
}

function cutToWidth(line: string, columns: number): string {
  if (displayWidth(line) <= columns) return line
  let cut = line.slice(0, columns)
  while (displayWidth(cut) >= columns) cut = cut.slice(0, -1)
  return `${cut}…`
}
