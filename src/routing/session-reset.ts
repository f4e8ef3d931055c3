/**
 * The texts by which drivers clean a session before somebody else of their program gets it, at
 * every release to their pool (asyncpg, Npgsql). What a session has behind one is known without
 * asking the server.
 */

/** What a text takes back: all settings, or the role as well; '' when it is no such text. */
export type Reset = '' | 'settings' | 'identity'

/** Longer than any of them. */
const lengthMax = 400

const settingsResets = new Set(['reset all', 'discard all'])
const identityResets = new Set(['set session authorization default', 'discard all'])
/** What else they consist of: it leaves nothing behind in a session that had nothing before. */
const others = new Set([
  'close all',
  'unlisten *',
  'select pg_advisory_unlock_all()',
  'select pg_catalog.pg_advisory_unlock_all()',
  'discard plans',
  'discard sequences',
  'discard temp',
])

export function resetOf(sql: string): Reset {
  if (sql.length > lengthMax) return ''
  const statements = sql
    .toLowerCase()
    .split(';')
    .map((statement) => statement.trim().replaceAll(/\s+/g, ' '))
    .filter((statement) => statement !== '')
  const isSettings = statements.some((statement) => settingsResets.has(statement))
  if (!isSettings || !statements.every(isOfReset)) return ''
  return statements.some((statement) => identityResets.has(statement)) ? 'identity' : 'settings'
}

function isOfReset(statement: string): boolean {
  return settingsResets.has(statement) || identityResets.has(statement) || others.has(statement)
}
