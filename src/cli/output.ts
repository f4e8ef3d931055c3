/** Where a command prints: its result to stdout, JSON or human; remarks to stderr. */
export interface Output {
  readonly json: boolean
  /** The result of the command: `value` as JSON, or `human` as text. Called once. */
  result(value: unknown, human: () => string): void
  /** A line beside the result, for humans only. */
  remark(text: string): void
  /** Whole lines of text whatever the mode, e.g. a help page. */
  text(text: string): void
  error(text: string): void
}

export interface Streams {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Width of the terminal that `err` goes to; undefined where it is none. */
  readonly errColumns?: () => number | undefined
}

export const processStreams: Streams = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  errColumns: () => (process.stderr.isTTY ? process.stderr.columns : undefined),
}

export function createOutput(json: boolean, streams: Streams = processStreams): Output {
  return {
    json,
    result: (value, human) => {
      streams.out(`${json ? JSON.stringify(value, null, 2) : human()}\n`)
    },
    remark: (text) => {
      if (!json) streams.err(`${text}\n`)
    },
    text: (text) => streams.out(`${text}\n`),
    error: (text) => streams.err(`${text}\n`),
  }
}
