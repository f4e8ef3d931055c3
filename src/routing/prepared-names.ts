/**
 * Where a text names prepared statements: EXECUTE, DEALLOCATE and PREPARE. The cold path behind
 * the bits of session-effects.ts of the same names.
 */
import { tokens, type Token } from './sql-tokens.ts'

export interface PreparedName {
  readonly use: 'execute' | 'deallocate' | 'prepare'
  /** As the server folds it. */
  readonly name: string
  /** Where it stands in the bytes of the text. */
  readonly start: number
  readonly end: number
}

/** In order; none when the text cannot be read for sure. DEALLOCATE ALL names nothing. */
export function preparedNames(sql: string): PreparedName[] {
  const found: PreparedName[] = []
  const all = tokens(sql) ?? []
  let start = 0
  for (let index = 0; index <= all.length; index += 1) {
    if (index < all.length && all[index]?.text !== ';') continue
    const name = inStatement(all.slice(start, index))
    if (name !== null) found.push(name)
    start = index + 1
  }
  return found
}

function inStatement(statement: readonly Token[]): PreparedName | null {
  switch (word(statement[0])) {
    case 'execute':
      return named('execute', statement[1])
    case 'prepare':
      if (word(statement[1]) === 'transaction' && statement[2]?.kind === 'string') return null
      return named('prepare', statement[1])
    case 'deallocate': {
      const hasPrepare = word(statement[1]) === 'prepare' && statement.length > 2
      const what = statement[hasPrepare ? 2 : 1]
      return word(what) === 'all' ? null : named('deallocate', what)
    }
    case 'explain':
    case 'create':
      return named('execute', statement[executeAt(statement) + 1])
    default:
      return null
  }
}

/** EXPLAIN … EXECUTE and CREATE TABLE … AS EXECUTE; beyond the end when there is none. */
function executeAt(statement: readonly Token[]): number {
  const isExplain = word(statement[0]) === 'explain'
  let depth = 0
  for (const [index, token] of statement.entries()) {
    if (token.text === '(' && token.kind === 'sign') depth += 1
    if (token.text === ')' && token.kind === 'sign') depth -= 1
    if (depth > 0 || word(token) !== 'execute') continue
    if (isExplain || word(statement[index - 1]) === 'as') return index
  }
  return statement.length
}

function named(use: PreparedName['use'], token: Token | undefined): PreparedName | null {
  if (token === undefined || (token.kind !== 'word' && token.kind !== 'name')) return null
  const { start, end, text } = token
  const name = token.kind === 'name' ? text : text.replaceAll(/[A-Z]/g, (a) => a.toLowerCase())
  return { use, name, start, end }
}

/** The word in lower case, '' for anything else. */
function word(token: Token | undefined): string {
  return token?.kind === 'word' ? token.text.toLowerCase() : ''
}
