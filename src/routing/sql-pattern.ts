/**
 * The pattern of a statement: its text with every plain number written as 1, every plain string
 * as 'x', lists of them shortened to two, and no comments. It is SQL itself and classify.ts parses
 * it in the statement's stead, so that a verdict holds for all statements of one pattern by
 * construction. (Not 0 and '': the parser leaves those out of its trees.)
 */
import { continuesWord } from './sql-bytes.ts'

/**
 * Null when the text holds something that is not looked into: dollar quotes, nested comments,
 * strings with a backslash or a prefix (E'', U&''), numbers beyond plain digits. Then the text
 * stands for itself.
 */
export function sqlPattern(sql: string): string | null {
  const length = sql.length
  let pattern = ''
  // What of the text is not copied yet starts here.
  let copied = 0
  // Where the last literal ended, and whether it was a number: for lists.
  let literalEnd = -1
  let literalIsNumber = false
  let listLength = 0
  let at = 0
  while (at < length) {
    const code = sql.charCodeAt(at)
    if (isLetter(code)) {
      at++
      while (at < length && isWordPart(sql.charCodeAt(at))) at++
      if (sql.charCodeAt(at) === 0x27) return null
      continue
    }
    const isNumber = isDigit(code)
    if (isNumber || code === 0x27) {
      const end = isNumber ? numberEnd(sql, at) : stringEnd(sql, at)
      if (end === 0) return null
      const repeats =
        literalEnd !== -1 && literalIsNumber === isNumber && isComma(sql, literalEnd, at)
      listLength = repeats ? listLength + 1 : 1
      // Two stay: NULLIF and JSON_VALUE want as many.
      if (listLength <= 2) pattern += sql.slice(copied, at) + (isNumber ? '1' : "'x'")
      copied = end
      literalEnd = end
      literalIsNumber = isNumber
      at = end
      continue
    }
    switch (code) {
      case 0x22: {
        // A quoted name; a doubled quote in it makes two names side by side, which is as good.
        const end = sql.indexOf('"', at + 1)
        if (end === -1) return null
        at = end + 1
        break
      }
      case 0x24:
        // `$1` is a parameter, anything else a dollar quote.
        if (!isDigit(sql.charCodeAt(at + 1))) return null
        at++
        while (isDigit(sql.charCodeAt(at))) at++
        if (isWordPart(sql.charCodeAt(at))) return null
        break
      case 0x2d:
      case 0x2f: {
        const end = commentEnd(sql, at)
        if (end === 0) return null
        if (end === at + 1) {
          at++
          break
        }
        // Tracing comments differ from call to call. A blank takes their place.
        pattern += sql.slice(copied, at) + ' '
        copied = end
        literalEnd = -1
        at = end
        break
      }
      default:
        at++
    }
  }
  return copied === 0 ? sql : pattern + sql.slice(copied)
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** All that is not ASCII is a letter to the server. */
function isLetter(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f || code > 127
  )
}

function isWordPart(code: number): boolean {
  return code > 127 || continuesWord[code] === 1
}

/** Digits, and a fraction; 0 when anything else is glued to it, or a dot before it. */
function numberEnd(sql: string, from: number): number {
  let at = from
  while (isDigit(sql.charCodeAt(at))) at++
  if (sql.charCodeAt(at) === 0x2e) {
    at++
    while (isDigit(sql.charCodeAt(at))) at++
  }
  const next = sql.charCodeAt(at)
  return isWordPart(next) || next === 0x2e || next === 0x27 || sql.charCodeAt(from - 1) === 0x2e
    ? 0
    : at
}

/** A string without backslash, with nothing glued to it; 0 for others. */
function stringEnd(sql: string, from: number): number {
  const before = sql.charCodeAt(from - 1)
  // U&'…' and, as strings go on behind a doubled quote, a string right before this one.
  if (before === 0x26 || before === 0x27) return 0
  let at = from + 1
  for (;;) {
    const code = sql.charCodeAt(at)
    if (code === 0x27) {
      if (sql.charCodeAt(at + 1) !== 0x27) return at + 1
      at++
    } else if (code === 0x5c || at >= sql.length) {
      return 0
    }
    at++
  }
}

/** Behind a comment; the next place when it is an operator; 0 when it nests or does not end. */
function commentEnd(sql: string, at: number): number {
  const next = sql.charCodeAt(at + 1)
  if (sql.charCodeAt(at) === 0x2d) {
    if (next !== 0x2d) return at + 1
    let end = at + 2
    while (end < sql.length && sql.charCodeAt(end) !== 0x0a && sql.charCodeAt(end) !== 0x0d) end++
    return end
  }
  if (next !== 0x2a) return at + 1
  const close = sql.indexOf('*/', at + 2)
  const nested = sql.indexOf('/*', at + 2)
  return close === -1 || (nested !== -1 && nested < close) ? 0 : close + 2
}

/** Whether only a comma, with blanks around it at most, stands between two literals. */
function isComma(sql: string, from: number, to: number): boolean {
  let commas = 0
  for (let at = from; at < to; at++) {
    const code = sql.charCodeAt(at)
    if (code === 0x2c) commas++
    else if (code !== 0x20 && code !== 0x0a) return false
  }
  return commas === 1
}
