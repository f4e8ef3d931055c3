/**
 * Follows a server that speaks unasked in a way that looks like replies: to a subscriber of RESP2,
 * to MONITOR, after CLIENT REPLY. Everything goes to the client as it comes; this only tells which
 * of it was owed. A subscriber is counted: each of its commands gets one reply, or one for each of
 * its channels, and what is neither is a message. Of the others only RESET is waited for, by an error
 * that comes behind it. Neighbours: server-relay.ts, which has the bytes; own-server.ts, which sends.
 */
import { randomBytes } from 'node:crypto'
import { marker } from '../../wire/redis/protocol.ts'
import { command } from '../../wire/redis/write.ts'
import { HeldFrame } from './held-frame.ts'
import type { Subscriptions } from './subscriptions.ts'

export type Tell = (bytes: Buffer, start: number, end: number) => void

const toNobody: Tell = () => undefined

interface Expected {
  /** What its confirmations say; '' where a single reply is due. */
  readonly kind: string
  /** How many are due; null: until nothing of the kind is left. */
  left: number | null
}

/** No command, and nobody else says it: also who has to log in first hears that it is unknown. */
const lastWord = `pontoon-${randomBytes(12).toString('hex')}`

/** Sent behind a RESET, whose own answer CLIENT REPLY may keep back. */
export const lastWordRequest = command(lastWord)

/** What is said to that: the RESET has run. */
export function isLastWord(frame: Buffer): boolean {
  return frame[0] === marker.error && frame.includes(lastWord)
}

const subscription = /^[ps]?(?:un)?subscribe$/

export class Listener {
  readonly isCounted: boolean
  /** Gives its client what it has heard. */
  readonly tell: Tell
  readonly #subscriptions: Subscriptions
  readonly #expected: Expected[] = []
  readonly #held = new HeldFrame()
  /** What was owed last was a reply, no confirmation of a subscription. */
  wasReply = false

  constructor(subscriptions: Subscriptions, isCounted: boolean, tell: Tell = toNobody) {
    this.#subscriptions = subscriptions
    this.tell = tell
    this.isCounted = isCounted
  }

  /** The command was sent, and its reply is owed. */
  sent(name: string, argumentCount: number): void {
    const isSubscription = this.isCounted && subscription.test(name)
    const kind = isSubscription ? name : ''
    const isOfAll = isSubscription && argumentCount === 0
    this.#expected.push({ kind, left: isOfAll ? null : Math.max(1, argumentCount) })
  }

  /** Of that type is what pays for a reply, for all that is known. */
  mayPay(type: number): boolean {
    return this.isCounted || type === marker.error
  }

  /** A frame goes by, or a part of it. True when with it the reply is whole that is owed first. */
  hears(bytes: Buffer, start: number, end: number, isWhole: boolean): boolean {
    const frame = this.#held.take(bytes, start, end, isWhole)
    if (frame === null) return false
    const [first] = this.#expected
    if (!this.isCounted && first === undefined) return false
    const kind = this.#subscriptions.take(frame)
    if (first === undefined || kind === 'message') return false
    this.wasReply = kind === ''
    if (!this.isCounted) return isLastWord(frame) && this.#done()
    // What is no confirmation is a reply like any other, an error of a subscription too.
    if (kind === '') return this.#done()
    if (kind !== first.kind) return false
    if (first.left === null) return this.#subscriptions.sizeOf(kind) === 0 && this.#done()
    first.left -= 1
    return first.left === 0 && this.#done()
  }

  #done(): true {
    this.#expected.shift()
    return true
  }
}
