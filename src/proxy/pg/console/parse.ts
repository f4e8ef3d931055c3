/**
 * The grammar of PgBouncer's console, no more: a word, perhaps an argument, perhaps a semicolon;
 * and SET key = value. Words are case-insensitive, arguments are not; double quotes take anything.
 */

export type Command =
  | { readonly kind: 'empty' }
  | { readonly kind: 'command'; readonly verb: string; readonly argument: string | null }
  | { readonly kind: 'set'; readonly key: string }
  | { readonly kind: 'unknown' }

const word = String.raw`("(?:[^"]|"")+"|[0-9a-z_]+)`
const emptyPattern = /^[\s;]*$/
const commandPattern = new RegExp(String.raw`^\s*${word}(?:\s+${word})?\s*;?\s*$`, 'i')
const setPattern = new RegExp(
  String.raw`^\s*set\s+${word}\s*(?:=|\sto\s)\s*(?:${word}|'(?:[^']|'')*')\s*;?\s*$`,
  'i',
)

export function parseCommand(sql: string): Command {
  if (emptyPattern.test(sql)) return { kind: 'empty' }
  const set = setPattern.exec(sql)
  if (set !== null) return { kind: 'set', key: unquoted(set[1] ?? '').toLowerCase() }
  const match = commandPattern.exec(sql)
  if (match === null) return { kind: 'unknown' }
  const argument = match[2]
  return {
    kind: 'command',
    verb: unquoted(match[1] ?? '').toLowerCase(),
    argument: argument === undefined ? null : unquoted(argument),
  }
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text
}
