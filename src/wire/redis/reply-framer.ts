/**
 * Finds where each reply of a server ends, RESP2 or RESP3, without copying or decoding it. Nesting
 * costs nothing: it counts the values that are still to come, it keeps no stack. A reply that is
 * split is followed from chunk to chunk; its bytes may be sent on as they come.
 */
import { PontoonError } from '../../shared/errors.ts'
import { cr, elementsMax, lf, marker, minus, nine, zero } from './protocol.ts'

const enum Place {
  Between,
  Line,
  Number,
  Payload,
}

/** What a reply must still announce to count as long. */
const longBytesMin = 256 * 1024
const longValuesMin = 16 * 1024

export class ReplyFramer {
  /** First byte of the reply that `next` has completed or is in. */
  type = 0
  #place: Place = Place.Between
  /** Values that the reply under way still lacks; 0 between replies. */
  #valuesLeft = 0
  #payloadLeft = 0
  /** What the number on its way is the length of. */
  #numberOf = 0
  #number = 0
  #digits = 0
  #isNegative = false
  /** Inside a reply a push of three has begun, and nothing of it has come. */
  #isPushOfThree = false

  /** Whether a reply has begun and its end has not been seen. */
  get isInside(): boolean {
    return this.#valuesLeft > 0
  }

  /** In the middle of a reply that announces a lot more. */
  get isLong(): boolean {
    return this.#payloadLeft > longBytesMin || this.#valuesLeft > longValuesMin
  }

  /**
   * Looks at `bytes[offset, end)`. Gives the offset behind the reply that ends there first, or -1
   * when none does. Throws SERVER_PROTOCOL.
   */
  next(bytes: Buffer, offset: number, end: number): number {
    let at = offset
    if (at >= end) return -1
    if (this.#valuesLeft === 0) {
      this.#valuesLeft = 1
      this.type = bytes[at] ?? 0
    }
    while (at < end) {
      if (this.#place === Place.Between) {
        this.#begin(bytes[at] ?? 0)
        at += 1
        continue
      }
      if (this.#place === Place.Line) {
        while (at < end && bytes[at] !== lf) at += 1
        if (at === end) return -1
        at += 1
        this.#place = Place.Between
        this.#valuesLeft -= 1
      } else if (this.#place === Place.Payload) {
        const step = Math.min(this.#payloadLeft, end - at)
        this.#payloadLeft -= step
        at += step
        if (this.#payloadLeft > 0) return -1
        this.#place = Place.Between
        this.#valuesLeft -= 1
      } else {
        at = this.#readNumber(bytes, at, end)
        if (this.#place === Place.Number) return -1
      }
      if (this.#valuesLeft === 0) return at
    }
    return -1
  }

  #begin(byte: number): void {
    switch (byte) {
      case marker.simple:
      case marker.error:
      case marker.integer:
      case marker.null:
      case marker.boolean:
      case marker.double:
      case marker.bigNumber:
        this.#place = Place.Line
        return
      case marker.bulk:
      case marker.bulkError:
      case marker.verbatim:
      case marker.array:
      case marker.set:
      case marker.push:
      case marker.map:
      case marker.attribute:
        this.#place = Place.Number
        this.#numberOf = byte
        this.#number = 0
        this.#digits = 0
        this.#isNegative = false
        return
      default:
        throw broken(`a reply begins with byte ${byte}`)
    }
  }

  #readNumber(bytes: Buffer, offset: number, end: number): number {
    let at = offset
    for (; at < end; at += 1) {
      const byte = bytes[at] ?? 0
      if (byte >= zero && byte <= nine) {
        this.#number = this.#number * 10 + byte - zero
        this.#digits += 1
      } else if (byte === lf) {
        this.#numberEnds()
        return at + 1
      } else if (byte === minus && this.#digits === 0) this.#isNegative = true
      else if (byte !== cr) throw broken(`a length has the byte ${byte}`)
    }
    return at
  }

  /**
   * A server before 7.2 says in the middle of a reply to EXEC what that has caused: a message
   * (`message`, `pmessage` of four parts) or `invalidate` of two is none of the values of the reply,
   * what a subscription says is.
   */
  #pushInside(parts: number): void {
    this.#isPushOfThree = parts === 3
    if (parts !== 3) this.#valuesLeft += 1
  }

  #numberEnds(): void {
    const number = this.#number
    if (this.#digits === 0 || number > elementsMax) throw broken('a length is no number')
    this.#place = Place.Between
    if (this.#isNegative) {
      // The null of RESP2.
      this.#valuesLeft -= 1
      return
    }
    switch (this.#numberOf) {
      case marker.push:
        if (this.type !== marker.push) this.#pushInside(number)
        this.#valuesLeft += number - 1
        break
      case marker.array:
      case marker.set:
        this.#valuesLeft += number - 1
        break
      case marker.map:
        this.#valuesLeft += number * 2 - 1
        break
      case marker.attribute:
        // Goes before the value it belongs to, so that one is still to come.
        this.#valuesLeft += number * 2
        break
      default:
        if (this.#isPushOfThree && isMessageLength(number)) this.#valuesLeft += 1
        this.#isPushOfThree = false
        this.#payloadLeft = number + 2
        this.#place = Place.Payload
    }
    if (this.#valuesLeft > elementsMax) throw broken('a reply has more elements than fit')
  }
}

/** Of `message` and `smessage`; of three parts there are only these, and confirmations of subscriptions. */
function isMessageLength(bytes: number): boolean {
  return bytes === 7 || bytes === 8
}

function broken(what: string): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', `the server broke the protocol: ${what}`)
}
