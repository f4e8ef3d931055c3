/**
 * Which settings a text of SQL changes for its session: the cold path behind the `settings` bit of
 * session-effects.ts. Works on tokens, not on a grammar: SET and RESET are simple enough.
 */
import { tokens } from './sql-tokens.ts'
import type { Token } from './sql-tokens.ts'

/** Longer texts, and calls with more tokens, are not looked into. */
const textLengthMax = 256 * 1024
const callTokensMax = 256

/**
 * The names, lower-cased, without repetition; an empty list when the text changes none (SET
 * LOCAL, set_config(…, true)), or only takes back what others set (RESET ALL, DISCARD ALL). Null
 * when they cannot be told: a computed name, a DO block that runs computed text, a string that
 * could be read in two ways.
 */
export function settingNames(sql: string): string[] | null {
  if (sql.length > textLengthMax) return null
  const names = new Set<string>()
  return collectAll(sql, names, false) ? [...names] : null
}

/** `isBody`: the text is the body of a DO, in which statements also begin behind BEGIN and others. */
function collectAll(sql: string, names: Set<string>, isBody: boolean): boolean {
  const all = tokens(sql)
  if (all === null) return false
  let from = 0
  for (let at = 0; at <= all.length; at++) {
    const isOpener = isBody && blockOpeners.has(word(all[at]))
    if (at < all.length && all[at]?.text !== ';' && !isOpener) continue
    const statement = all.slice(from, at)
    if (isBody && (word(statement[0]) === 'do' || runsText(statement))) return false
    if (!collect(statement, names)) return false
    from = at + 1
  }
  return true
}

/** In a body EXECUTE runs a computed text, unless it is a privilege or part of a trigger. */
function runsText(statement: readonly Token[]): boolean {
  return statement.some(
    (token, at) =>
      word(token) === 'execute' && !/^(on|function|procedure)$/.test(word(statement[at + 1])),
  )
}

const blockOpeners = new Set(['begin', 'then', 'else', 'loop'])

/** Adds what one statement sets. False when that cannot be told. */
function collect(statement: readonly Token[], names: Set<string>): boolean {
  const first = word(statement[0])
  if (first === 'do')
    return statement.every(({ kind, text }) => kind !== 'string' || collectAll(text, names, true))
  if (first === 'set' && word(statement[1]) === 'session' && !isAssigned(statement, 2)) {
    if (word(statement[2]) === 'characteristics' && !isAssigned(statement, 3)) {
      for (const name of characteristics) names.add(name)
      return true
    }
  }
  if (first === 'set' || first === 'reset') {
    const name = first === 'set' ? setName(statement) : resetName(statement)
    if (name === null) return false
    if (name !== '') names.add(name)
    return true
  }
  for (let at = 0; at + 1 < statement.length; at++) {
    if (statement[at + 1]?.text !== '(') continue
    const called = nameOf(statement[at])
    if (called === 'set_limit') names.add('pg_trgm.similarity_threshold')
    if (called === 'set_config' && !collectCall(statement, at + 2, names)) return false
  }
  return true
}

/** set_config('name', value, is_local): the first and the last argument must be constants. */
function collectCall(statement: readonly Token[], from: number, names: Set<string>): boolean {
  const name = statement[from]
  if (name?.kind !== 'string' || statement[from + 1]?.text !== ',') return false
  let depth = 0
  let lastComma = from + 1
  const end = Math.min(statement.length, from + callTokensMax)
  for (let at = from + 2; at < end; at++) {
    const text = statement[at]?.kind === 'sign' ? statement[at]?.text : ''
    if (text === '(') depth++
    if (text === ',' && depth === 0) lastComma = at
    if (text === ')' && --depth < 0) {
      const local = at === lastComma + 2 && word(statement[lastComma + 1]) === 'true'
      if (!local) names.add(name.text.toLowerCase())
      return true
    }
  }
  return false
}

/** Empty for what ends with the transaction. */
function setName(statement: readonly Token[]): string | null {
  let at = 1
  const scope = word(statement[1])
  const isScope = !isAssigned(statement, 2)
  if (isScope && (scope === 'local' || scope === 'transaction' || scope === 'constraints'))
    return ''
  if (isScope && scope === 'session') at = 2
  return settingAt(statement, at)
}

function isAssigned(statement: readonly Token[], at: number): boolean {
  const text = statement[at]?.text.toLowerCase()
  return text === '.' || text === '=' || text === 'to'
}

/** Empty for ALL. */
function resetName(statement: readonly Token[]): string | null {
  if (word(statement[1]) === 'all' && statement.length === 2) return ''
  return settingAt(statement, 1)
}

/** What SET SESSION CHARACTERISTICS changes: drivers send it for an isolation level. */
const characteristics = [
  'default_transaction_isolation',
  'default_transaction_read_only',
  'default_transaction_deferrable',
] as const

const specialNames: Readonly<Record<string, string>> = {
  names: 'client_encoding',
  schema: 'search_path',
  catalog: 'catalog',
  seed: 'seed',
  role: 'role',
  authorization: 'session_authorization',
}

function settingAt(statement: readonly Token[], at: number): string | null {
  const first = word(statement[at])
  if (first === 'time' && word(statement[at + 1]) === 'zone') return 'timezone'
  if (first === 'session' && word(statement[at + 1]) === 'authorization')
    return 'session_authorization'
  if (first === 'transaction' && word(statement[at + 1]) === 'isolation')
    return 'transaction_isolation'
  if (first === 'xml') return 'xmloption'
  const special = specialNames[first]
  if (special !== undefined && !isAssigned(statement, at + 1)) return special
  const parts: string[] = []
  for (let next = at; ; next += 2) {
    const part = nameOf(statement[next])
    if (part === '') return null
    parts.push(part)
    if (statement[next + 1]?.text !== '.') return parts.join('.')
  }
}

/** An unquoted word in lower case, else the empty string. */
function word(token: Token | undefined): string {
  return token?.kind === 'word' ? token.text.toLowerCase() : ''
}

/** A word or quoted name, in lower case: the server compares names of settings that way. */
function nameOf(token: Token | undefined): string {
  return token?.kind === 'word' || token?.kind === 'name' ? token.text.toLowerCase() : ''
}
