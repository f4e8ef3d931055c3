/**
 * Where the tokens of SQL text end, on bytes: strings, quoted names, dollar quotes and comments,
 * after PostgreSQL's scan.l. Each function takes the place behind the token's opening and returns
 * the place behind its end, or `end` when it is not closed. Used by session-effects.ts.
 */

/** The three that need no closer look come first; every byte is a `sign` that is nothing else. */
export const byteClass = {
  space: 0,
  sign: 1,
  digit: 2,
  letter: 3,
  quote: 4,
  doubleQuote: 5,
  dollar: 6,
  dash: 7,
  slash: 8,
  open: 9,
  semicolon: 10,
} as const

/** Class of each byte. Bytes above 127 are letters, as they are to the server. */
export const classOf: Uint8Array = (() => {
  const table = new Uint8Array(256).fill(byteClass.sign)
  for (const space of ' \t\n\r\f\v') table[space.charCodeAt(0)] = byteClass.space
  for (let byte = 0x61; byte <= 0x7a; byte++) {
    table[byte] = byteClass.letter
    table[byte - 0x20] = byteClass.letter
  }
  for (let byte = 0x80; byte <= 0xff; byte++) table[byte] = byteClass.letter
  for (let byte = 0x30; byte <= 0x39; byte++) table[byte] = byteClass.digit
  table[0x5f] = byteClass.letter
  table[0x27] = byteClass.quote
  table[0x22] = byteClass.doubleQuote
  table[0x24] = byteClass.dollar
  table[0x2d] = byteClass.dash
  table[0x2f] = byteClass.slash
  table[0x28] = byteClass.open
  table[0x3b] = byteClass.semicolon
  return table
})()

/** 1 for what continues a name: letters, digits, `_`, `$`. */
export const continuesWord: Uint8Array = classOf.map((kind, byte) =>
  kind === byteClass.letter || kind === byteClass.digit || byte === 0x24 ? 1 : 0,
)

const quote = 0x27
const backslash = 0x5c

export function wordEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && continuesWord[bytes[at] ?? 0] === 1) at++
  return at
}

/**
 * A string in which a backslash means nothing. The result is negative when a backslash stands
 * before a quote: with standard_conforming_strings off the string would end elsewhere.
 */
export function plainStringEnd(bytes: Uint8Array, from: number, end: number): number {
  let sign = 1
  let at = from
  while (at < end) {
    if (bytes[at] === quote) {
      if (at > from && bytes[at - 1] === backslash) sign = -1
      if (at + 1 >= end || bytes[at + 1] !== quote) return sign * (at + 1)
      at++
    }
    at++
  }
  return sign * end
}

/**
 * A string in which a backslash escapes the next byte. The result is negative when a backslash
 * follows a byte above 127: in SJIS, BIG5, GBK and their kin it may be the second half of a
 * character. With `wide` it is taken for that.
 */
export function escapeStringEnd(
  bytes: Uint8Array,
  from: number,
  end: number,
  wide: boolean,
): number {
  let sign = 1
  let at = from
  while (at < end) {
    const byte = bytes[at]
    if (byte === backslash) {
      const afterHigh = at > from && (bytes[at - 1] ?? 0) >= 0x80
      if (afterHigh) sign = -1
      if (!afterHigh || !wide) at++
    } else if (byte === quote) {
      if (at + 1 >= end || bytes[at + 1] !== quote) return sign * (at + 1)
      at++
    }
    at++
  }
  return sign * end
}

export function quotedNameEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end) {
    if (bytes[at] === 0x22) {
      if (at + 1 >= end || bytes[at + 1] !== 0x22) return at + 1
      at++
    }
    at++
  }
  return end
}

/** Length of the delimiter `$tag$` that begins at `at`, or 0 when none does (as in `$1`). */
export function dollarTagLength(bytes: Uint8Array, at: number, end: number): number {
  let to = at + 1
  if (to < end && classOf[bytes[to] ?? 0] === byteClass.digit) return 0
  while (to < end && bytes[to] !== 0x24 && continuesWord[bytes[to] ?? 0] === 1) to++
  return to < end && bytes[to] === 0x24 ? to + 1 - at : 0
}

/** `at` is where the opening delimiter begins. */
export function dollarQuoteEnd(
  bytes: Uint8Array,
  at: number,
  end: number,
  tagLength: number,
): number {
  for (let close = at + tagLength; close + tagLength <= end; close++) {
    if (bytes[close] !== 0x24) continue
    let same = 1
    while (same < tagLength && bytes[close + same] === bytes[at + same]) same++
    if (same === tagLength) return close + tagLength
  }
  return end
}

export function lineCommentEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && bytes[at] !== 0x0a && bytes[at] !== 0x0d) at++
  return at
}

/** Block comments nest. `from` is behind the first opening. */
export function blockCommentEnd(bytes: Uint8Array, from: number, end: number): number {
  let depth = 1
  let at = from
  while (at + 1 < end) {
    const pair = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    if (pair === 0x2a2f) {
      at += 2
      if (--depth === 0) return at
    } else if (pair === 0x2f2a) {
      at += 2
      depth++
    } else {
      at++
    }
  }
  return end
}

/** Skips white space and comments. */
export function blankEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end) {
    const kind = classOf[bytes[at] ?? 0]
    if (kind === byteClass.space) at++
    else if (kind === byteClass.dash && bytes[at + 1] === 0x2d && at + 1 < end)
      at = lineCommentEnd(bytes, at + 2, end)
    else if (kind === byteClass.slash && bytes[at + 1] === 0x2a && at + 1 < end)
      at = blockCommentEnd(bytes, at + 2, end)
    else break
  }
  return at
}
