/**
 * Which channels the UNLISTEN statements of a text leave: the cold path behind the `unlisten` bit
 * of session-effects.ts.
 */
import { tokens, type Token } from './sql-tokens.ts'

/** A channel, or `all` for UNLISTEN *. */
export type Unlisten = { readonly channel: string } | 'all'

/** The server cuts names to this many bytes (NAMEDATALEN - 1). */
const nameBytesMax = 63

/** One entry for each UNLISTEN statement, in order; nothing when the text cannot be read for sure. */
export function unlistens(sql: string): readonly Unlisten[] {
  const found: Unlisten[] = []
  const all = tokens(sql)
  if (all === null) return found
  let isStart = true
  for (const [index, token] of all.entries()) {
    if (isStart && token.kind === 'word' && token.text.toLowerCase() === 'unlisten') {
      const what = named(all[index + 1])
      if (what !== null) found.push(what)
    }
    isStart = token.kind === 'sign' && token.text === ';'
  }
  return found
}

function named(token: Token | undefined): Unlisten | null {
  if (token === undefined) return null
  if (token.kind === 'sign') return token.text === '*' ? 'all' : null
  if (token.kind === 'word') return { channel: cut(lowerCase(token.text)) }
  return token.kind === 'name' ? { channel: cut(token.text) } : null
}

/** As the server folds unquoted names in a UTF-8 database: ASCII letters only. */
function lowerCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** Cut between characters, as the server does. */
function cut(name: string): string {
  if (Buffer.byteLength(name) <= nameBytesMax) return name
  let kept = ''
  for (const character of name) {
    if (Buffer.byteLength(kept + character) > nameBytesMax) break
    kept += character
  }
  return kept
}
