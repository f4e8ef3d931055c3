/**
 * The effects (session-effects.ts) of a text that is too long to be held: it streams through here
 * in pieces. What is inside long strings is left out, the rest is looked at part by part. A part
 * ends at a comma or semicolon outside of strings, so that no statement's first words are torn
 * apart; where that cannot be, or where it cannot be told what a string holds, the answer is null.
 */
import { effect, sessionEffects } from './session-effects.ts'
import { byteClass, classOf, continuesWord } from './sql-bytes.ts'

/** A part is looked at when it has this many bytes and a place to end at; the most it may have. */
const partBytes = 32 * 1024
const partBytesMax = 64 * 1024

/** Bytes of a string that are kept: enough for names of settings, and for bodies of DO. */
const stringBytesMax = 256
const dollarBytesMax = 16 * 1024

/** What a part begins with when it goes on in the middle of a statement. */
const middle = Buffer.from('SELECT 0 ')

const code = {
  newline: 0x0a,
  doubleQuote: 0x22,
  dollar: 0x24,
  quote: 0x27,
  star: 0x2a,
  comma: 0x2c,
  dash: 0x2d,
  slash: 0x2f,
  semicolon: 0x3b,
  backslash: 0x5c,
} as const

type State =
  | 'code'
  | 'plain'
  | 'plain-quote'
  | 'escape'
  | 'escape-quote'
  | 'escaped'
  | 'name'
  | 'tag'
  | 'dollar'
  | 'line'
  | 'block'

export class LongText {
  readonly #part = Buffer.allocUnsafe(partBytesMax)
  #length = 0
  #effects = 0
  #isBlind = false
  #isOver = false
  #state: State = 'code'
  /** Of the string or name at hand. */
  #kept = 0
  #tag: number[] = []
  #tagMatched = 0
  #depth = 0
  #lastInBlock = 0
  #last = 0
  /** Letters of the word at hand, and what stood before it. */
  #wordLength = 0
  /** Parts whose effects need their text (names of settings). */
  readonly #texts: string[] = []

  /** The next bytes of the text; a NUL ends it, whatever follows. */
  push(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to && !this.#isOver && !this.#isBlind; at++) {
      const byte = bytes[at] ?? 0
      if (byte === 0) this.#isOver = true
      else this.#byte(byte)
    }
  }

  /** The effects, or null when they cannot be told. To be asked once, at the end. */
  effects(): number | null {
    if (this.#state === 'plain-quote' || this.#state === 'escape-quote') this.#emit(code.quote)
    if (!this.#isBlind) this.#look()
    return this.#isBlind ? null : this.#effects
  }

  /** The parts that change settings. */
  get settingTexts(): readonly string[] {
    return this.#texts
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case 'code':
        this.#code(byte)
        break
      case 'plain-quote':
      case 'escape-quote':
        this.#afterQuote(byte)
        break
      case 'plain':
      case 'escape':
      case 'escaped':
        this.#string(byte)
        break
      case 'name':
        this.#emit(byte)
        if (byte === code.doubleQuote) this.#state = 'code'
        break
      case 'tag':
        this.#tagByte(byte)
        break
      case 'dollar':
        this.#dollar(byte)
        break
      case 'line':
        if (byte === code.newline) this.#endComment()
        break
      default:
        this.#block(byte)
    }
    this.#last = byte
  }

  #code(byte: number): void {
    const isWord = continuesWord[byte] === 1 && (byte !== code.dollar || this.#wordLength > 0)
    if (byte === code.dash && this.#last === code.dash) this.#state = 'line'
    else if (byte === code.star && this.#last === code.slash) {
      this.#state = 'block'
      this.#depth = 1
      this.#lastInBlock = 0
    }
    this.#emit(byte)
    if (byte === code.quote) {
      const isEscape = this.#wordLength === 1 && (this.#last | 0x20) === 0x65
      this.#state = isEscape ? 'escape' : 'plain'
      this.#kept = 0
    } else if (byte === code.doubleQuote) this.#state = 'name'
    else if (byte === code.dollar && !isWord) {
      this.#state = 'tag'
      this.#tag = [byte]
    }
    this.#wordLength = isWord ? this.#wordLength + 1 : 0
    if ((byte === code.comma || byte === code.semicolon) && this.#length >= partBytes)
      this.#nextPart(byte === code.comma)
  }

  #string(byte: number): void {
    const isPlain = this.#state === 'plain'
    if (this.#state === 'escaped') this.#state = 'escape'
    else if (byte === code.quote) {
      // With standard_conforming_strings off it would go on.
      if (isPlain && this.#last === code.backslash) this.#isBlind = true
      this.#state = isPlain ? 'plain-quote' : 'escape-quote'
      return
    } else if (!isPlain && byte === code.backslash) {
      // In some client encodings it is the second half of a character.
      if (this.#last >= 0x80) this.#isBlind = true
      this.#state = 'escaped'
    }
    this.#keep(byte)
  }

  /** A quote in a string: doubled, or its end. */
  #afterQuote(byte: number): void {
    const isPlain = this.#state === 'plain-quote'
    if (byte === code.quote) {
      this.#state = isPlain ? 'plain' : 'escape'
      return
    }
    this.#emit(code.quote)
    this.#state = 'code'
    this.#wordLength = 0
    this.#code(byte)
  }

  /** Backslashes and quotes are left out, so that what is kept ends where it seems to. */
  #keep(byte: number): void {
    if (byte === code.backslash || byte === code.quote || this.#kept > stringBytesMax) return
    this.#kept += 1
    if (this.#kept <= stringBytesMax) this.#emit(byte)
    else if (this.#followsDo()) this.#isBlind = true
  }

  /** Whether the string at hand is the body of a DO. */
  #followsDo(): boolean {
    const before = this.#part.toString('latin1', 0, Math.max(0, this.#length - stringBytesMax - 1))
    return /\bdo\s*(language\s+\w+\s*)?(\w&?)?$/i.test(before.slice(-200))
  }

  #tagByte(byte: number): void {
    this.#emit(byte)
    if (byte === code.dollar) {
      this.#tag.push(byte)
      this.#state = 'dollar'
      this.#kept = 0
      this.#tagMatched = 0
      return
    }
    const isFirstDigit = this.#tag.length === 1 && classOf[byte] === byteClass.digit
    if (continuesWord[byte] === 1 && !isFirstDigit) this.#tag.push(byte)
    else this.#state = 'code'
  }

  #dollar(byte: number): void {
    this.#kept += 1
    // Its code may do anything.
    if (this.#kept > dollarBytesMax) this.#isBlind = true
    this.#emit(byte)
    const isMatch = byte === this.#tag[this.#tagMatched]
    this.#tagMatched = isMatch ? this.#tagMatched + 1 : byte === code.dollar ? 1 : 0
    if (this.#tagMatched < this.#tag.length) return
    this.#state = 'code'
    this.#wordLength = 0
  }

  #block(byte: number): void {
    const before = this.#lastInBlock
    this.#lastInBlock = byte
    if (byte === code.star && before === code.slash) this.#depth += 1
    else if (byte === code.slash && before === code.star) this.#depth -= 1
    else return
    this.#lastInBlock = 0
    if (this.#depth === 0) this.#endComment()
  }

  /** Of a comment only its opening was kept. */
  #endComment(): void {
    this.#length = Math.max(0, this.#length - 2)
    this.#emit(code.newline)
    this.#state = 'code'
    this.#wordLength = 0
  }

  #emit(byte: number): void {
    if (this.#length === partBytesMax) {
      this.#isBlind = true
      return
    }
    this.#part[this.#length] = byte
    this.#length += 1
  }

  #nextPart(isMiddle: boolean): void {
    this.#look()
    this.#length = isMiddle ? middle.copy(this.#part) : 0
  }

  #look(): void {
    const found = sessionEffects(this.#part, 0, this.#length)
    this.#effects |= found
    if ((found & (effect.settings | effect.opaque | effect.unlisten)) !== 0)
      this.#texts.push(this.#part.toString('utf8', 0, this.#length))
    // Names in it would have to be replaced, or its channels known.
    const unseen = effect.execute | effect.deallocate | effect.prepare | effect.unlisten
    if ((found & unseen) !== 0) this.#isBlind = true
  }
}
