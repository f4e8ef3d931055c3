/**
 * What a text of SQL does to the session that runs it, for transaction pooling: on the hot path,
 * once for each simple Query and each Parse. It reads bytes, makes no string and allocates
 * nothing. Names are looked at only at the start of a statement and before `(`, so what is inside
 * functions stays unseen. The statements are in session-statements.ts, the function names in
 * session-functions.ts, the tokens in sql-bytes.ts.
 *
 * Two things about a session change where strings end: standard_conforming_strings and a client
 * encoding whose characters may contain a backslash byte. A text with a place that could be read
 * in several ways is read in all of them and the effects add up.
 */
import { callEffects, effect } from './session-functions.ts'
import {
  effectBits,
  intoEffects,
  mark,
  namesTempSchema,
  wordEffects,
} from './session-statements.ts'
import {
  blockCommentEnd,
  byteClass,
  classOf,
  continuesWord,
  dollarQuoteEnd,
  dollarTagLength,
  escapeStringEnd,
  lineCommentEnd,
  plainStringEnd,
  quotedNameEnd,
} from './sql-bytes.ts'

export { effect } from './session-functions.ts'
export { settingNames } from './setting-names.ts'

/** How a backslash in a string is read; bits. */
const reading = { plainEscapes: 1, wideCharacters: 2 } as const
const readingsMax = 3

export function sessionEffects(bytes: Buffer, start: number, end: number): number {
  let found = scan(bytes, start, end, 0, mark.start)
  if (found & mark.ambiguous) {
    for (let read = 1; read <= readingsMax; read++)
      found |= scan(bytes, start, end, read, mark.start)
  }
  return found & effectBits
}

/** The state is the effects so far and the marks of the statement at hand, in one number. */
function scan(bytes: Buffer, start: number, end: number, read: number, marks: number): number {
  let state = marks
  // The name that a `(` would call; none while nameEnd is 0.
  let nameStart = 0
  let nameEnd = 0
  let at = start
  while (at < end) {
    const byte = bytes[at] ?? 0
    const kind = classOf[byte] ?? 0
    if (kind <= byteClass.digit) {
      if (kind !== byteClass.space) nameEnd = 0
      at++
      continue
    }
    if (kind === byteClass.letter) {
      nameStart = at++
      while (at < end && continuesWord[bytes[at] ?? 0] === 1) at++
      nameEnd = at
      const letter = byte | 0x20
      if (state & mark.busy) state = wordEffects(bytes, nameStart, at, end, state)
      else if (letter === 0x69 && at - nameStart === 4)
        state |= intoEffects(bytes, nameStart, at, end)
      if (letter === 0x70 && namesTempSchema(bytes, nameStart, at)) state |= effect.tempTable
      continue
    }
    if (kind === byteClass.open) {
      if (nameEnd !== 0) state |= callEffects(bytes, nameStart, nameEnd)
      nameEnd = 0
      at++
      continue
    }
    if (kind === byteClass.dash || kind === byteClass.slash) {
      const comment = commentEnd(bytes, at, end)
      if (comment === 0) nameEnd = 0
      at = comment === 0 ? at + 1 : comment
      continue
    }
    if (kind === byteClass.quote) {
      const escapes =
        nameEnd === at && at - nameStart === 1 && ((bytes[nameStart] ?? 0) | 0x20) === 0x65
      const next = stringEnd(bytes, at + 1, end, read, escapes)
      if (next < 0) state |= mark.ambiguous
      const to = Math.abs(next)
      // Escapes can hide words from us.
      if (state & mark.code)
        state |= escapes ? effect.other : bodyEffects(bytes, at + 1, to - 1, read)
      at = to
    } else if (kind === byteClass.doubleQuote) {
      const to = quotedNameEnd(bytes, at + 1, end)
      if (isCodePointName(bytes, start, at)) state |= effect.other
      nameStart = at + 1
      nameEnd = to - 1
      if (namesTempSchema(bytes, nameStart, nameEnd)) state |= effect.tempTable
      at = to
      continue
    } else if (kind === byteClass.dollar) {
      const tag = dollarTagLength(bytes, at, end)
      const to = tag === 0 ? at + 1 : dollarQuoteEnd(bytes, at, end, tag)
      if (tag !== 0 && state & mark.code) state |= bodyEffects(bytes, at + tag, to - tag, read)
      at = to
    } else {
      if (kind === byteClass.semicolon) state = (state & mark.kept) | mark.start
      at++
    }
    nameEnd = 0
  }
  return state
}

/** The place behind a comment that begins at `at`, or 0 when it is an operator's sign. */
function commentEnd(bytes: Buffer, at: number, end: number): number {
  if (at + 1 >= end) return 0
  if (bytes[at] === 0x2d) return bytes[at + 1] === 0x2d ? lineCommentEnd(bytes, at + 2, end) : 0
  return bytes[at + 1] === 0x2a ? blockCommentEnd(bytes, at + 2, end) : 0
}

/** Negative when another reading would end the string elsewhere. */
function stringEnd(
  bytes: Buffer,
  from: number,
  end: number,
  read: number,
  escapes: boolean,
): number {
  if (!escapes && (read & reading.plainEscapes) === 0) return plainStringEnd(bytes, from, end)
  return escapeStringEnd(bytes, from, end, (read & reading.wideCharacters) !== 0)
}

/** What the body of a DO does in plain words; its EXECUTE is not the SQL one. */
function bodyEffects(bytes: Buffer, from: number, to: number, read: number): number {
  const state = scan(bytes, from, to, read, mark.start | mark.body)
  return state & (effectBits | mark.ambiguous) & ~effect.execute
}

/** Whether the quoted name at `at` is written as U&"…", in which its letters may be code points. */
function isCodePointName(bytes: Buffer, start: number, at: number): boolean {
  return at - 2 >= start && bytes[at - 1] === 0x26 && ((bytes[at - 2] ?? 0) | 0x20) === 0x75
}
