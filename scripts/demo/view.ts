/**
 * The live view: one block that refreshes in place on a terminal, plain lines anywhere else.
 */
import { formatPercent } from './tables.ts'

export interface Moment {
  readonly reads: number
  readonly secondsLeft: number
  readonly requestsPerSecond: number
  readonly requests: number
  readonly errors: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Share of the back office's reads that the target answered in this step. */
  readonly targetPercent: number | undefined
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
      output.write(`${line}\n`)
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
    show: (moment) => {
      const rate = `${Math.round(moment.requestsPerSecond)}/s`
      const share = `target ${formatPercent(moment.targetPercent)}`
      const total = `${moment.requests} requests, ${moment.errors} errors`
      write(`  reads ${moment.reads} %  ${share}  ${rate}  ${total}  p99 ${ms(moment.p99Ms)}`)
    },
  }
}

function formatBlock(moment: Moment): readonly string[] {
  const share = moment.targetPercent ?? 0
  const filled = Math.round((share / 100) * barWidth)
  const bar = '█'.repeat(filled) + '░'.repeat(barWidth - filled)
  return [
    `  reads wanted ${moment.reads} %, next step in ${Math.ceil(moment.secondsLeft)} s`,
    `  source ${bar} target  ${formatPercent(moment.targetPercent)} of back-office reads`,
    `  ${moment.requests} requests (${Math.round(moment.requestsPerSecond)}/s), ${moment.errors} errors`,
    `  application sees p50 ${ms(moment.p50Ms)}, p99 ${ms(moment.p99Ms)}`,
  ]
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}
