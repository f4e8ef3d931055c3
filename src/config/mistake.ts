/**
 * Mistakes in configuration files. All of them are gathered and reported at once, each with its
 * file, line and path, so that nobody has to mend a file one start at a time.
 */
import { PontoonError, type ErrorCode } from '../shared/errors.ts'

export type Path = readonly (string | number)[]

export interface Origin {
  /** As the caller named it. */
  readonly file: string
  /** From 1; 0 when the file as a whole is meant. */
  readonly line: number
}

export type MistakeCode = Extract<
  ErrorCode,
  'CONFIG_INVALID' | 'CONFIG_UNREADABLE' | 'CONFIG_ENV_MISSING'
>

export interface Mistake {
  readonly code: MistakeCode
  readonly origin: Origin
  readonly path: Path
  readonly message: string
}

export class ConfigError extends PontoonError {
  readonly mistakes: readonly Mistake[]

  constructor(mistakes: readonly Mistake[]) {
    super(commonCode(mistakes), describe(mistakes))
    this.mistakes = mistakes
  }
}

export function formatMistake({ origin, path, message }: Mistake): string {
  const place = origin.line > 0 ? `${origin.file}:${origin.line}` : origin.file
  return path.length === 0 ? `${place}: ${message}` : `${place}: ${formatPath(path)}: ${message}`
}

/** `services.orders.users."app user".verifier`, `admin.tokens[0].secret`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else text += `${text === '' ? '' : '.'}${/^[\w-]+$/.test(step) ? step : JSON.stringify(step)}`
  }
  return text
}

/** Whether `path` is `ancestor` or lies below it. */
export function isWithin(path: Path, ancestor: Path): boolean {
  return ancestor.length <= path.length && ancestor.every((step, index) => step === path[index])
}

function commonCode(mistakes: readonly Mistake[]): MistakeCode {
  const codes = new Set(mistakes.map((mistake) => mistake.code))
  const [only] = codes
  return codes.size === 1 && only !== undefined ? only : 'CONFIG_INVALID'
}

function describe(mistakes: readonly Mistake[]): string {
  const lines = mistakes.map((mistake) => formatMistake(mistake))
  if (lines.length === 1) return lines[0] ?? ''
  return `${lines.length} mistakes in the configuration:\n${lines.map((line) => `  ${line}`).join('\n')}`
}
