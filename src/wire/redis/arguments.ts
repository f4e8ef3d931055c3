/** Takes a whole command apart into its arguments; off the hot path. */
import { cr, lf, marker } from './protocol.ts'

/**
 * The arguments of the framed command `bytes[start, end)`, as views on it. What the framer has
 * passed needs no further check.
 */
export function readArguments(bytes: Buffer, start: number, end: number): Buffer[] {
  const words: Buffer[] = []
  let at = bytes.indexOf(lf, start) + 1
  while (at > 0 && at < end && bytes[at] === marker.bulk) {
    const lineEnd = bytes.indexOf(cr, at)
    const length = Number(bytes.toString('latin1', at + 1, lineEnd))
    const from = lineEnd + 2
    words.push(bytes.subarray(from, from + length))
    at = from + length + 2
  }
  return words
}

/** The words of one whole request as it came, inline or not; none where its quotes do not match. */
export function wordsOf(request: Buffer): readonly Buffer[] {
  if (request[0] === marker.array) return readArguments(request, 0, request.length)
  return splitInline(request) ?? []
}

/** One argument, without taking the others apart; null where the command has no such one. */
export function readArgument(
  bytes: Buffer,
  start: number,
  end: number,
  index: number,
): Buffer | null {
  let at = bytes.indexOf(lf, start) + 1
  for (let passed = 0; at > 0 && at < end && bytes[at] === marker.bulk; passed += 1) {
    let length = 0
    let digit = at + 1
    for (; bytes[digit] !== cr; digit += 1) length = length * 10 + (bytes[digit] ?? 0) - 0x30
    const from = digit + 2
    if (passed === index) return bytes.subarray(from, from + length)
    at = from + length + 2
  }
  return null
}

const blank = /[ \t\n\v\f\r\0]/
const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' }

/**
 * The words of an inline command, with its quotes and escapes as sdssplitargs of the server reads
 * them; null when the quotes do not match. An empty line has none.
 */
export function splitInline(line: Buffer): Buffer[] | null {
  const text = line.toString('latin1').replace(/\r?\n$/, '')
  const words: Buffer[] = []
  let at = 0
  for (;;) {
    while (at < text.length && blank.test(text.charAt(at))) at += 1
    if (at >= text.length) return words
    const found = word(text, at)
    if (found === null) return null
    words.push(Buffer.from(found.text, 'latin1'))
    at = found.end
  }
}

interface Word {
  readonly text: string
  readonly end: number
}

function word(text: string, start: number): Word | null {
  let found = ''
  let at = start
  while (at < text.length) {
    const char = text.charAt(at)
    if (blank.test(char)) break
    if (char === '"' || char === "'") {
      const quoted = char === '"' ? doubleQuoted(text, at + 1) : singleQuoted(text, at + 1)
      if (quoted === null) return null
      found += quoted.text
      // A closing quote must be followed by a blank or the end.
      const after = text.charAt(quoted.end)
      if (after !== '' && !blank.test(after)) return null
      return { text: found, end: quoted.end }
    }
    found += char
    at += 1
  }
  return { text: found, end: at }
}

function doubleQuoted(text: string, start: number): Word | null {
  let found = ''
  for (let at = start; at < text.length; at += 1) {
    const char = text.charAt(at)
    if (char === '"') return { text: found, end: at + 1 }
    if (char !== '\\' || at + 1 >= text.length) {
      found += char
      continue
    }
    const hex = /^\\x([0-9a-fA-F]{2})/.exec(text.slice(at, at + 4))
    if (hex !== null) {
      found += String.fromCharCode(Number.parseInt(hex[1] ?? '', 16))
      at += 3
      continue
    }
    at += 1
    found += escapes[text.charAt(at)] ?? text.charAt(at)
  }
  return null
}

function singleQuoted(text: string, start: number): Word | null {
  let found = ''
  for (let at = start; at < text.length; at += 1) {
    const char = text.charAt(at)
    if (char === "'") return { text: found, end: at + 1 }
    if (char === '\\' && text.charAt(at + 1) === "'") {
      found += "'"
      at += 1
    } else found += char
  }
  return null
}
