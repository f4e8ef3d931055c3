/**
 * The live view: one block that refreshes in place on a terminal, plain lines anywhere else.
 */
import type { Side } from '../../src/shared/side.ts'
import { formatPercent } from './tables.ts'

export interface Moment {
  /** Of the stretch, e.g. `reads 10 %`. */
  readonly name: string
  readonly secondsLeft: number
  readonly requestsPerSecond: number
  readonly requests: number
  readonly errors: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Share of the back office's reads that the target answered in this stretch. */
  readonly targetPercent: number | undefined
  readonly writes: Readonly<Record<Side, number>>
}

export interface View {
  /** A line that stays. */
  say(line: string): void
  /** The state of this moment, in place of the previous one on a terminal. */
  show(moment: Moment): void
}

const barWidth = 30

export function terminalView(output: NodeJS.WriteStream): View {
  let blockLines = 0
  const clear = () => {
    if (blockLines > 0) output.write(`\x1b[${blockLines}A\x1b[J`)
    blockLines = 0
  }
  return {
    say: (line) => {
      clear()
      // Commands and headings stand out.
      const isBold = line.startsWith('$ ') || line.startsWith('\n── ')
      output.write(isBold ? `\x1b[1m${line}\x1b[0m\n` : `${line}\n`)
    },
    show: (moment) => {
      clear()
      const block = formatBlock(moment)
      output.write(`${block.join('\n')}\n`)
      blockLines = block.length
    },
  }
}

export function lineView(write: (line: string) => void): View {
  return {
    say: write,
    show: ({ name, targetPercent, writes, ...moment }) => {
      const rate = `${Math.round(moment.requestsPerSecond)}/s`
      const reads = `target answers ${formatPercent(targetPercent)} of reads`
      const written = `writes ${writes.source} + ${writes.target}`
      const total = `${moment.requests} requests, ${moment.errors} errors`
      write(`  ${name}  ${reads}, ${written}  ${rate}  ${total}  p99 ${ms(moment.p99Ms)}`)
    },
  }
}

function formatBlock(moment: Moment): readonly string[] {
  const { source, target } = moment.writes
  return [
    `  ${moment.name}, ${Math.ceil(moment.secondsLeft)} s left`,
    `  reads  source ${bar(moment.targetPercent ?? 0)} target  ${formatPercent(moment.targetPercent)}`,
    `  writes source ${bar((100 * target) / Math.max(1, source + target))} target`,
    `  ${moment.requests} requests (${Math.round(moment.requestsPerSecond)}/s), ${moment.errors} errors`,
    `  the shop sees p50 ${ms(moment.p50Ms)}, p99 ${ms(moment.p99Ms)}`,
  ]
}

function bar(percent: number): string {
  const filled = Math.round((percent / 100) * barWidth)
  return '█'.repeat(filled) + '░'.repeat(barWidth - filled)
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}
