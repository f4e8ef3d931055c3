/**
 * SQL text as a list of tokens, for cold paths that need the words themselves
 * (setting-names.ts). The hot path reads bytes: sql-bytes.ts.
 */
import {
  blankEnd,
  byteClass,
  classOf,
  dollarQuoteEnd,
  dollarTagLength,
  escapeStringEnd,
  plainStringEnd,
  quotedNameEnd,
  wordEnd,
} from './sql-bytes.ts'

/** The text of a string and of a quoted name is its value; of the others, as it stands. */
export interface Token {
  readonly kind: 'word' | 'name' | 'string' | 'number' | 'sign'
  readonly text: string
  /** Where it stands in the bytes of the text. */
  readonly start: number
  readonly end: number
}

type Found = Pick<Token, 'kind' | 'text'>

/** Null when a string or name could be read in more than one way. */
export function tokens(sql: string): Token[] | null {
  const bytes = Buffer.from(sql)
  const found: Token[] = []
  let at = blankEnd(bytes, 0, bytes.length)
  while (at < bytes.length) {
    const { token, end } = next(bytes, at)
    if (token === null) return null
    // U&"…" and U&'…' hide letters behind code points.
    const previous = found[found.length - 1]
    const quoted = token.kind === 'name' || token.kind === 'string'
    if (quoted && previous?.text === '&' && found[found.length - 2]?.text.toLowerCase() === 'u')
      return null
    found.push({ ...token, start: at, end })
    at = blankEnd(bytes, end, bytes.length)
  }
  return found
}

function next(bytes: Buffer, at: number): { token: Found | null; end: number } {
  const end = bytes.length
  switch (classOf[bytes[at] ?? 0]) {
    case byteClass.letter: {
      const to = wordEnd(bytes, at, end)
      const letter = bytes[at]
      if (to === at + 1 && bytes[to] === 0x27 && (letter === 0x45 || letter === 0x65))
        return string(bytes, to + 1, Math.abs(escapeStringEnd(bytes, to + 1, end, false)))
      return { token: { kind: 'word', text: bytes.toString('utf8', at, to) }, end: to }
    }
    case byteClass.digit: {
      const to = wordEnd(bytes, at, end)
      return { token: { kind: 'number', text: bytes.toString('utf8', at, to) }, end: to }
    }
    case byteClass.quote: {
      const to = plainStringEnd(bytes, at + 1, end)
      return to < 0 ? { token: null, end } : string(bytes, at + 1, to)
    }
    case byteClass.doubleQuote: {
      const to = quotedNameEnd(bytes, at + 1, end)
      const text = bytes.toString('utf8', at + 1, to - 1).replaceAll('""', '"')
      return { token: { kind: 'name', text }, end: to }
    }
    case byteClass.dollar: {
      const tag = dollarTagLength(bytes, at, end)
      if (tag === 0) break
      const to = dollarQuoteEnd(bytes, at, end, tag)
      const text = bytes.toString('utf8', at + tag, to - tag)
      return { token: { kind: 'string', text }, end: to }
    }
    default:
      break
  }
  return { token: { kind: 'sign', text: String.fromCharCode(bytes[at] ?? 0) }, end: at + 1 }
}

/** A string with a backslash is left to nobody: what it stands for depends on the session. */
function string(bytes: Buffer, from: number, to: number): { token: Found | null; end: number } {
  const text = bytes.toString('utf8', from, to - 1)
  if (text.includes('\\')) return { token: null, end: to }
  return { token: { kind: 'string', text: text.replaceAll("''", "'") }, end: to }
}
