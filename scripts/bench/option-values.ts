/** Values of options that both benchmarks take: lists of names, of numbers, ranges. */
import { parseWholeNumber, UsageError } from '../command-line.ts'

export function oneOf<Name extends string>(
  option: string,
  text: string | undefined,
  names: readonly Name[],
): readonly Name[] {
  if (text === undefined) return names
  return text.split(',').map((part) => {
    const found = names.find((name) => name === part.trim())
    if (found === undefined) {
      throw new UsageError(`--${option}: ${part} is none of ${names.join(', ')}`)
    }
    return found
  })
}

export function integers(option: string, text: string): readonly number[] {
  return text.split(',').map((part) => parseWholeNumber(option, part.trim(), 1))
}

export function number(option: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!(value >= min && value <= max)) {
    throw new UsageError(`--${option}: ${text} is not between ${min} and ${max}`)
  }
  return value
}
