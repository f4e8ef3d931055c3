/**
 * What Pontoon has to say itself where only the server knows when: in the middle of a transaction (its
 * client's id and name, what CLIENT REPLY does), or behind MONITOR. An ECHO of a word that nobody else
 * knows stands in its place on the server. In what that says, in the reply to EXEC, the word is replaced
 * by what is to be said at that moment. Neighbours: own-server.ts, subscriber.ts.
 */
import { randomBytes } from 'node:crypto'
import { PontoonError } from '../../shared/errors.ts'
import { bulkReply, command } from '../../wire/redis/write.ts'
import { standInsMax } from './limits.ts'

/** Null: nothing is said. */
export type StandInAnswer = (reader: StandInReader) => Buffer | null

const secret = `pontoon-${randomBytes(12).toString('hex')}-`
const digits = 12
const frame = bulkReply(secret + '0'.repeat(digits))
const frameBytes = frame.length
/** What all have in common. */
const beginning = frame.subarray(0, frame.indexOf(secret) + secret.length)
const nothing = Buffer.alloc(0)

export class StandIns {
  /** By what the server says in their place. */
  readonly #answers = new Map<string, StandInAnswer>()
  #count = 0

  get areOwed(): boolean {
    return this.#answers.size > 0
  }

  /** Gives what is sent to the server. */
  add(answer: StandInAnswer): Buffer {
    if (this.#answers.size >= standInsMax)
      throw new PontoonError('CLIENT_PROTOCOL', 'too much waits for answers that do not come')
    this.#count += 1
    const word = secret + String(this.#count).padStart(digits, '0')
    this.#answers.set(bulkReply(word).toString(), answer)
    return command('ECHO', word)
  }

  /** Each is given once; those ahead of it were not said, and will not be. */
  take(said: Buffer): StandInAnswer | undefined {
    const text = said.toString('latin1')
    const found = this.#answers.get(text)
    if (found === undefined) return undefined
    for (const [word] of this.#answers) {
      this.#answers.delete(word)
      if (word === text) break
    }
    return found
  }

  /** No transaction is left that they could be part of. */
  clear(): void {
    this.#answers.clear()
  }
}

/** What a server says that may have stand-ins in it, as it comes. */
export class StandInReader {
  /** By CLIENT REPLY, also in the middle of it. */
  isMute: boolean
  /** A CLIENT REPLY SKIP was in it. */
  skipsNext = false
  readonly #standIns: StandIns
  readonly #give: (bytes: Buffer, start: number, end: number) => void
  /** It may be the beginning of one. */
  #held: Buffer = nothing

  constructor(
    standIns: StandIns,
    isMute: boolean,
    give: (bytes: Buffer, start: number, end: number) => void,
  ) {
    this.#standIns = standIns
    this.isMute = isMute
    this.#give = give
  }

  pass(bytes: Buffer, start: number, end: number): void {
    if (!this.#standIns.areOwed && this.#held.length === 0) this.#tell(bytes, start, end)
    else if (this.#held.length === 0) this.#read(bytes, start, end)
    else {
      const whole = Buffer.concat([this.#held, bytes.subarray(start, end)])
      this.#held = nothing
      this.#read(whole, 0, whole.length)
    }
  }

  /** No more comes of it. */
  end(): void {
    this.#tell(this.#held, 0, this.#held.length)
    this.#held = nothing
  }

  #read(bytes: Buffer, start: number, end: number): void {
    let at = start
    for (;;) {
      const found = bytes.indexOf(beginning, at)
      const stop = found < 0 ? end : found + frameBytes
      if (found < 0 || stop > end) break
      const here = bytes.subarray(found, stop)
      this.#tell(bytes, at, found)
      const answer = this.#standIns.take(here)
      const said = answer === undefined ? here : answer(this)
      if (said !== null) this.#tell(said, 0, said.length)
      at = stop
    }
    // Where none is to come, nobody might finish it.
    const rest = this.#standIns.areOwed ? beginsAt(bytes, at, end) : end
    this.#tell(bytes, at, rest)
    if (rest < end) this.#held = Buffer.from(bytes.subarray(rest, end))
  }

  #tell(bytes: Buffer, start: number, end: number): void {
    if (!this.isMute && end > start) this.#give(bytes, start, end)
  }
}

/** Where in `bytes[start, end)` a stand-in begins that is not whole; `end` for nowhere. */
function beginsAt(bytes: Buffer, start: number, end: number): number {
  const first = beginning[0] ?? 0
  let at = Math.max(start, end - frameBytes + 1)
  for (;;) {
    at = bytes.indexOf(first, at)
    if (at < 0 || at >= end) return end
    const length = Math.min(end - at, beginning.length)
    if (bytes.compare(beginning, 0, length, at, at + length) === 0) return at
    at += 1
  }
}
