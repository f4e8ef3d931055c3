/**
 * Finds where each command of a client ends, without copying or decoding anything: only the
 * lengths are read, payloads are stepped over. Commands that lie whole in the chunk take the fast
 * path, a pure scan; one that is split is followed from chunk to chunk, byte by byte if it comes
 * so. What is wrong is refused in the server's own words (networking.c), which the client gets
 * before the close.
 */
import { PontoonError } from '../../shared/errors.ts'
import {
  argumentsMax,
  bulkBytesMax,
  cr,
  lf,
  lineBytesMax,
  marker,
  minus,
  nine,
  zero,
} from './protocol.ts'

/** Of numbers with more digits the slow path says what is wrong. */
const fastDigitsMax = 9

/** No number of 64 bits has more characters; a longer one is wrong whatever follows. */
const numberCharactersMax = 20

const enum Place {
  Start,
  Count,
  CountEnd,
  Dollar,
  Length,
  LengthEnd,
  Payload,
  Inline,
}

export class CommandFramer {
  /** Of the command that `next` has completed, or of what is known of the one under way. */
  argumentCount = 0
  /** Where its name is, from its first byte; valid when `nameLength` is not negative. */
  nameStart = 0
  nameLength = -1
  isInline = false
  /** Bytes of the command under way that have been seen. */
  seenBytes = 0
  /** Bytes that its lengths have announced so far, at least `seenBytes`. */
  announcedBytes = 0
  #place: Place = Place.Start
  #argumentsLeft = 0
  #payloadLeft = 0
  /** Characters of the line of a number. */
  #characters = 0
  #digits = 0
  #number = 0
  #isNegative = false
  #isNumber = true
  #startsWithZero = false

  /** Whether a command has begun and its end has not been seen. */
  get isInside(): boolean {
    return this.#place !== Place.Start
  }

  /**
   * Looks at `bytes[offset, end)`. Gives the offset behind the command that ends there first, or
   * -1 when none does; then the next chunk goes on. A command without arguments is none to the
   * server either: it says nothing. Throws CLIENT_PROTOCOL.
   */
  next(bytes: Buffer, offset: number, end: number): number {
    if (offset >= end) return -1
    if (this.#place === Place.Start) {
      const found = this.#whole(bytes, offset, end)
      if (found >= 0) return found
      const isArray = bytes[offset] === marker.array
      this.#begin(isArray)
      return this.#follow(bytes, isArray ? offset + 1 : offset, end)
    }
    return this.#follow(bytes, offset, end)
  }

  /** Forgets a command under way. */
  reset(): void {
    this.#place = Place.Start
  }

  /**
   * Bytes behind `end` are of an earlier read and may be looked at, but never believed: every way
   * out with a result has checked `end`.
   */
  #whole(bytes: Buffer, offset: number, end: number): number {
    if (bytes[offset] !== marker.array) return -1
    let at = offset + 1
    let start = at
    let byte = bytes[at] ?? 0
    let count = 0
    while (byte >= zero && byte <= nine) {
      count = count * 10 + byte - zero
      at += 1
      byte = bytes[at] ?? 0
    }
    if (byte !== cr || bytes[start] === zero || at - start > fastDigitsMax) return -1
    if (at === start) return -1
    at += 2
    let nameStart = 0
    let nameLength = 0
    for (let index = 0; index < count; index += 1) {
      if (at >= end || bytes[at] !== marker.bulk) return -1
      at += 1
      start = at
      byte = bytes[at] ?? 0
      let length = 0
      while (byte >= zero && byte <= nine) {
        length = length * 10 + byte - zero
        at += 1
        byte = bytes[at] ?? 0
      }
      if (byte !== cr || at === start || at - start > fastDigitsMax) return -1
      if (bytes[start] === zero && at - start > 1) return -1
      at += 2
      if (index === 0) {
        nameStart = at - offset
        nameLength = length
      }
      at += length + 2
      if (at > end) return -1
    }
    this.argumentCount = count
    this.nameStart = nameStart
    this.nameLength = nameLength
    this.isInline = false
    return at
  }

  #begin(isArray: boolean): void {
    this.argumentCount = 0
    this.nameLength = -1
    this.seenBytes = 0
    this.announcedBytes = 0
    this.isInline = !isArray
    this.#place = isArray ? Place.Count : Place.Inline
    this.#beginNumber()
    // The marker is behind us.
    if (isArray) this.seenBytes = 1
  }

  #follow(bytes: Buffer, offset: number, end: number): number {
    let at = offset
    while (at < end) {
      if (this.#place === Place.Payload) {
        const step = Math.min(this.#payloadLeft, end - at)
        this.#payloadLeft -= step
        this.seenBytes += step
        at += step
        if (this.#payloadLeft > 0) return -1
        if (this.#argumentEnds()) return at
        continue
      }
      if (this.#place === Place.Inline) return this.#inline(bytes, at, end)
      const isDone = this.#header(bytes[at] ?? 0)
      at += 1
      this.seenBytes += 1
      if (isDone) return at
    }
    this.announcedBytes = Math.max(this.announcedBytes, this.seenBytes)
    return -1
  }

  #inline(bytes: Buffer, offset: number, end: number): number {
    const found = bytes.indexOf(lf, offset)
    const isComplete = found >= 0 && found < end
    const stop = isComplete ? found + 1 : end
    this.seenBytes += stop - offset
    this.announcedBytes = this.seenBytes
    if (this.seenBytes > lineBytesMax + 2) throw protocolError('too big inline request')
    if (!isComplete) return -1
    this.#place = Place.Start
    this.argumentCount = 1
    return stop
  }

  /** One byte of a line; true when the command has ended with it. */
  #header(byte: number): boolean {
    switch (this.#place) {
      case Place.Count:
        if (byte === cr) this.#countEnds()
        else this.#character(byte, 'too big mbulk count string')
        return false
      case Place.CountEnd:
        if (this.#argumentsLeft > 0) {
          this.#place = Place.Dollar
          return false
        }
        this.#place = Place.Start
        return true
      case Place.Dollar:
        if (byte !== marker.bulk)
          throw protocolError(`expected '$', got '${String.fromCharCode(byte)}'`)
        this.#place = Place.Length
        this.#beginNumber()
        return false
      case Place.Length:
        if (byte === cr) this.#lengthEnds()
        else this.#character(byte, 'too big bulk count string')
        return false
      default:
        this.#payloadBegins()
        return false
    }
  }

  #countEnds(): void {
    const count = this.#value()
    if (count === null || count > argumentsMax) throw protocolError('invalid multibulk length')
    this.argumentCount = Math.max(count, 0)
    this.#argumentsLeft = this.argumentCount
    this.#place = Place.CountEnd
  }

  #lengthEnds(): void {
    const length = this.#value()
    if (length === null || length < 0 || length > bulkBytesMax)
      throw protocolError('invalid bulk length')
    this.#payloadLeft = length + 2
    this.#place = Place.LengthEnd
  }

  /** The line feed of a length has come; `seenBytes` does not count it yet. */
  #payloadBegins(): void {
    if (this.nameLength < 0) {
      this.nameStart = this.seenBytes + 1
      this.nameLength = this.#payloadLeft - 2
    }
    this.announcedBytes = this.seenBytes + 1 + this.#payloadLeft
    this.#place = Place.Payload
  }

  /** True when it was the last one. */
  #argumentEnds(): boolean {
    this.#argumentsLeft -= 1
    this.#place = this.#argumentsLeft > 0 ? Place.Dollar : Place.Start
    return this.#argumentsLeft === 0
  }

  #beginNumber(): void {
    this.#characters = 0
    this.#digits = 0
    this.#number = 0
    this.#isNegative = false
    this.#isNumber = true
    this.#startsWithZero = false
  }

  #character(byte: number, tooLong: string): void {
    this.#characters += 1
    if (this.#characters > lineBytesMax) throw protocolError(tooLong)
    if (byte >= zero && byte <= nine) {
      if (this.#digits === 0) this.#startsWithZero = byte === zero
      this.#digits += 1
      this.#number = this.#number * 10 + byte - zero
    } else if (byte === minus && this.#characters === 1) this.#isNegative = true
    else this.#isNumber = false
  }

  /** As string2ll of the server reads it: no leading zero, no plus, no blank. */
  #value(): number | null {
    if (!this.#isNumber || this.#digits === 0) return null
    if (this.#characters > numberCharactersMax) return null
    if (this.#startsWithZero && (this.#digits > 1 || this.#isNegative)) return null
    return this.#isNegative ? -this.#number : this.#number
  }
}

function protocolError(text: string): PontoonError {
  return new PontoonError('CLIENT_PROTOCOL', `Protocol error: ${text}`)
}
