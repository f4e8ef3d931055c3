/**
 * XREAD BLOCK with `$` for an id: entries that come after it is sent. If a pause ends it and it is
 * sent again, `$` would mean a later moment, and what was added between would be missed. So the last
 * entries are asked for right ahead of it, on the same connection, and their ids take the place of
 * `$` when it is sent again. Neighbour: blocking-command.ts.
 */
import { command } from '../../wire/redis/write.ts'

export class LatestIds {
  readonly #words: Buffer[]
  /** Which words are `$`. */
  readonly #places: readonly number[]
  readonly #questions: readonly Buffer[]

  private constructor(words: Buffer[], places: readonly number[], questions: readonly Buffer[]) {
    this.#words = words
    this.#places = places
    this.#questions = questions
  }

  /** Null when there is no `$` in the XREAD. */
  static of(request: readonly Buffer[]): LatestIds | null {
    const words = [...request]
    const first = words.findIndex((word) => /^streams$/i.test(word.toString('latin1'))) + 1
    const count = (words.length - first) / 2
    if (first === 0 || !Number.isInteger(count)) return null
    const places: number[] = []
    const questions: Buffer[] = []
    for (let at = first; at < first + count; at += 1) {
      const key = words[at]
      if (key === undefined || words[at + count]?.toString('latin1') !== '$') continue
      places.push(at + count)
      questions.push(command('XREVRANGE', key, '+', '-', 'COUNT', '1'))
    }
    return places.length === 0 ? null : new LatestIds(words, places, questions)
  }

  /** False for as long as one `$` stands, for good where the user may not ask. */
  get isKnown(): boolean {
    return this.#places.every((at) => this.#words[at]?.toString('latin1') !== '$')
  }

  /** Each with what takes the beginning of its answer. */
  *questions(): Generator<readonly [request: Buffer, answered: (beginning: string) => void]> {
    for (const [index, question] of this.#questions.entries())
      yield [question, (beginning) => this.#answered(this.#places[index] ?? 0, beginning)]
  }

  /** An error leaves the `$` as it is. */
  #answered(place: number, beginning: string): void {
    const id = /^\*1\r\n\*2\r\n\$\d+\r\n(\d+-\d+)\r\n/.exec(beginning)?.[1]
    if (id !== undefined) this.#words[place] = Buffer.from(id)
    else if (beginning.startsWith('*0\r\n')) this.#words[place] = Buffer.from('0-0')
  }

  /** The XREAD with what is known. */
  request(): Buffer {
    return command(...this.#words)
  }
}
