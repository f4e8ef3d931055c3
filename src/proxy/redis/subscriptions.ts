/**
 * What a client is subscribed to on a server of its own, as that server has confirmed it. Read from
 * what it says, not from what was asked: a request may be refused, come inside a transaction, or
 * not be one (a slot that moves ends its shard channels). Pure.
 */
import { marker } from '../../wire/redis/protocol.ts'
import { command } from '../../wire/redis/write.ts'

const subscribing = ['subscribe', 'psubscribe', 'ssubscribe'] as const

type Subscribing = (typeof subscribing)[number]

/** The array of RESP2 or the push of RESP3, and its first word. */
const beginning = /^[*>]\d+\r\n\$\d+\r\n([a-z]+)\r\n/
const beginningBytesMax = 40

const confirmation = /^[ps]?(un)?subscribe$/

function kindOf(name: string): Subscribing {
  if (name.startsWith('p')) return 'psubscribe'
  return /^s(?:un)?subscribe/.test(name) ? 'ssubscribe' : 'subscribe'
}

/** Names of one request. */
const namesMax = 500

export class Subscriptions {
  readonly #names: Readonly<Record<Subscribing, Set<string>>> = {
    subscribe: new Set(),
    psubscribe: new Set(),
    ssubscribe: new Set(),
  }
  /** A confirmation was too long to be read. */
  isUnsure = false

  get size(): number {
    return subscribing.reduce((sum, kind) => sum + this.#names[kind].size, 0)
  }

  /** By the name of the command that begins or ends them. */
  sizeOf(name: string): number {
    return this.#names[kindOf(name)].size
  }

  clear(): void {
    for (const kind of subscribing) this.#names[kind].clear()
  }

  /** What subscribes to the same again. */
  *requests(): Generator<Buffer> {
    for (const kind of subscribing) {
      const all = Array.from(this.#names[kind], (name) => Buffer.from(name, 'latin1'))
      for (let at = 0; at < all.length; at += namesMax) {
        yield command(kind.toUpperCase(), ...all.slice(at, at + namesMax))
      }
    }
  }

  /**
   * Takes note of `frame`, which may lack its end when it is very long. Gives what it is to a
   * subscriber: `message`, the command that it confirms, or '' for anything else.
   */
  take(frame: Buffer): string {
    const head = beginning.exec(frame.toString('latin1', 0, beginningBytesMax))
    if (head === null) return ''
    const [whole, word = ''] = head
    if (/^[ps]?message$/.test(word)) return 'message'
    const match = confirmation.exec(word)
    if (match === null) return ''
    this.#note(kindOf(word), match[1] === undefined, frame, whole.length)
    return word
  }

  #note(kind: Subscribing, isNew: boolean, frame: Buffer, at: number): void {
    const names = this.#names[kind]
    const lineEnd = frame.indexOf('\r\n', at)
    const length = Number(frame.toString('latin1', at + 1, lineEnd))
    // Nothing was left to end: its name is a null.
    if (frame[at] !== marker.bulk || length < 0) return
    const end = lineEnd + 2 + length
    if (end > frame.length) {
      this.isUnsure = true
      return
    }
    const name = frame.toString('latin1', lineEnd + 2, end)
    if (isNew) names.add(name)
    else names.delete(name)
  }
}
