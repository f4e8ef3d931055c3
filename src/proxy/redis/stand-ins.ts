/**
 * What Pontoon has to say itself in the middle of a transaction (its client's id and name, what CLIENT
 * REPLY does): an ECHO of a word that nobody else knows stands in its place on the server. In the reply
 * to EXEC that word is replaced by what is to be said at that moment. Neighbour: own-server.ts.
 */
import { randomBytes } from 'node:crypto'
import { lf, marker } from '../../wire/redis/protocol.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'
import { bulkReply, command } from '../../wire/redis/write.ts'

/** Null: nothing is said. */
export type StandInAnswer = (reply: ExecReply) => Buffer | null

const secret = `pontoon-${randomBytes(12).toString('hex')}-`
const digits = 12
const frameBytes = bulkReply(secret + '0'.repeat(digits)).length

export class StandIns {
  /** By what the server says in their place. */
  readonly #answers = new Map<string, StandInAnswer>()
  #count = 0

  get areOwed(): boolean {
    return this.#answers.size > 0
  }

  /** Gives what is sent to the server. */
  add(answer: StandInAnswer): Buffer {
    this.#count += 1
    const word = secret + String(this.#count).padStart(digits, '0')
    this.#answers.set(bulkReply(word).toString(), answer)
    return command('ECHO', word)
  }

  /** Each is given once. */
  take(frame: Buffer): StandInAnswer | undefined {
    const text = frame.toString('latin1')
    const answer = this.#answers.get(text)
    this.#answers.delete(text)
    return answer
  }

  /** No transaction is left that they could be part of. */
  clear(): void {
    this.#answers.clear()
  }
}

/** One reply to EXEC, as it comes. */
export class ExecReply {
  /** By CLIENT REPLY, also in the middle of it. */
  isMute: boolean
  readonly #standIns: StandIns
  readonly #give: (bytes: Buffer, start: number, end: number) => void
  readonly #framer = new ReplyFramer()
  #place: 'begin' | 'length' | 'elements' | 'other' = 'begin'
  /** The element at hand may be a stand-in. */
  #held: Buffer[] = []
  #heldBytes = 0

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
    if (this.#place === 'begin') this.#place = bytes[start] === marker.array ? 'length' : 'other'
    let at = start
    if (this.#place === 'length') {
      const found = bytes.indexOf(lf, start)
      const isWhole = found >= 0 && found < end
      if (isWhole) this.#place = 'elements'
      at = isWhole ? found + 1 : end
    } else if (this.#place === 'other') at = end
    this.#tell(bytes, start, at)
    while (at < end) at = this.#element(bytes, at, end)
  }

  #element(bytes: Buffer, at: number, end: number): number {
    const isBegin = !this.#framer.isInside
    const next = this.#framer.next(bytes, at, end)
    const stop = next < 0 ? end : next
    const mayBe = isBegin ? this.#framer.type === marker.bulk : this.#heldBytes > 0
    if (!mayBe) {
      this.#tell(bytes, at, stop)
      return stop
    }
    this.#held.push(Buffer.from(bytes.subarray(at, stop)))
    this.#heldBytes += stop - at
    if (next < 0 && this.#heldBytes <= frameBytes) return stop
    const frame = Buffer.concat(this.#held)
    this.#held = []
    this.#heldBytes = 0
    const answer = next < 0 ? undefined : this.#standIns.take(frame)
    const said = answer === undefined ? frame : answer(this)
    if (said !== null) this.#tell(said, 0, said.length)
    return stop
  }

  #tell(bytes: Buffer, start: number, end: number): void {
    if (!this.isMute && end > start) this.#give(bytes, start, end)
  }
}
