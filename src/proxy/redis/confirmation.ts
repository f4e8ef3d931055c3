/**
 * A subscription of RESP3 is answered by pushes, or by an error: nobody knows by how many of them.
 * So a HELLO is sent right behind it, whose answer says that all of that has come, and is kept from
 * the client. Neighbours: listener.ts, which counts what RESP2 says; own-server.ts.
 */
import { marker } from '../../wire/redis/protocol.ts'
import { command } from '../../wire/redis/write.ts'
import type { CommandRecord } from './command-book.ts'

/** No ACL forbids it. */
export const confirmation = command('HELLO')

/**
 * The answer to it begins with as many values, or pairs of them, as no other, and goes on so. Where a
 * chunk ends within that it is taken for the answer, which mostly it is.
 */
const announced = /^(?:%(?:[1-9]|$)|\*(?:[1-9]\d|[1-9]?$))/
const goesOn = '\r\n$6\r\nserver\r\n'

export class Confirmation {
  /** The subscription whose confirmation is owed; the session counts it as one reply. */
  #of: CommandRecord | null = null
  #isRefused = false

  get isDue(): boolean {
    return this.#of !== null
  }

  /** It may have said HELLO as well. */
  get isOfExec(): boolean {
    return this.#of?.name === 'exec'
  }

  isOf(record: CommandRecord): boolean {
    return this.#of === record
  }

  begin(record: CommandRecord): void {
    this.#of = record
  }

  end(): void {
    this.#of = null
    this.#isRefused = false
  }

  /**
   * What begins at `start` comes ahead of it: the error of a subscription, or what subscriptions
   * say beyond the length that the reply to their EXEC has announced.
   */
  isBehind(type: number, bytes: Buffer, start: number, end: number): boolean {
    const record = this.#of
    if (record === null) return false
    if (this.isOfExec) {
      if (type !== marker.map && type !== marker.array) return true
      const said = bytes.toString('latin1', start, Math.min(end, start + 3 + goesOn.length))
      const rest = said.replace(announced, '')
      return rest === said || !(goesOn.startsWith(rest) || rest.startsWith(goesOn))
    }
    if (this.#isRefused) return false
    this.#isRefused = type === marker.error || type === marker.bulkError
    if (this.#isRefused) record.errors += 1
    return this.#isRefused
  }
}
