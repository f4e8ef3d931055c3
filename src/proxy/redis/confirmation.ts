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

/** The beginning of the answer to it. */
const confirmed = /^%\d+\r\n\$6\r\nserver\r\n/
const confirmedBytes = '%7\r\n$6\r\nserver\r\n'.length

export class Confirmation {
  /** The subscription whose confirmation is owed; the session counts it as one reply. */
  #of: CommandRecord | null = null
  #isRefused = false

  get isDue(): boolean {
    return this.#of !== null
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
    if (record.name === 'exec') {
      if (type !== marker.map) return true
      const isShort = end - start < confirmedBytes
      return !isShort && !confirmed.test(bytes.toString('latin1', start, start + confirmedBytes))
    }
    if (this.#isRefused) return false
    this.#isRefused = type === marker.error || type === marker.bulkError
    if (this.#isRefused) record.errors += 1
    return this.#isRefused
  }
}
