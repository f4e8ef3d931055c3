/** One of the things that have to hold so that changing sides loses nothing. */
export interface Condition {
  /** Stable, e.g. `lag`. */
  readonly name: string
  readonly ok: boolean
  /** For people; of one that does not hold also what to do. */
  readonly text: string
}

const listedMax = 5

export function condition(name: string, ok: boolean, good: string, bad: string): Condition {
  return { name, ok, text: ok ? good : bad }
}

/** The first of them, and how many more there are. */
export function list(texts: readonly string[], separator = ', '): string {
  const more = texts.length - listedMax
  return [...texts.slice(0, listedMax), ...(more > 0 ? [`and ${more} more`] : [])].join(separator)
}
