/**
 * Session settings in transaction pooling. A client's settings travel with the client: when it
 * gets a server whose settings differ, the difference is applied in the same write as its first
 * message. Values go through set_config(), which takes them raw (SET would read a list such as
 * search_path as one name).
 */

export type Settings = ReadonlyMap<string, string>

export const noSettings: Settings = new Map()

const sessionUser = 'session_authorization'
/** Applied after all others, since they change what may be set; a new session user has no role. */
const identityNames = new Set([sessionUser, 'role'])

/** What RESET ALL leaves. */
export function identityOf(settings: Settings): Settings {
  return new Map([...settings].filter(([name]) => identityNames.has(name)))
}

/** Same text for the same settings, whatever the order; '' for none. */
export function settingsKey(settings: Settings): string {
  if (settings.size === 0) return ''
  return JSON.stringify([...settings].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** Settings that decide what the literals and the names of a text mean when it is parsed. */
const readingNames = new Set([
  'array_nulls',
  'backslash_quote',
  'client_encoding',
  'datestyle',
  'intervalstyle',
  'lc_monetary',
  'role',
  'search_path',
  'session_authorization',
  'standard_conforming_strings',
  'timezone',
  'timezone_abbreviations',
  'transform_null_equals',
  'xmloption',
])

/** Sessions with the same answer may share a prepared statement of the same text. */
export function settingsReading(settings: Settings): string {
  if (settings.size === 0) return ''
  return settingsKey(new Map([...settings].filter(([name]) => readingNames.has(name))))
}

const fixedByPast = 'temp_buffers'

/**
 * Whether a server refuses settings only for what ran on it before: temp_buffers, and nothing else,
 * stays what it is once there have been temporary tables. The name is the same in every language.
 */
export function isOfPast(isFresh: boolean, refusal: string): boolean {
  return !isFresh && refusal.includes(fixedByPast)
}

/** The same settings for a server that has `before`, but for what it does not change any more. */
export function withoutPast(settings: Settings, before: Settings): Settings {
  const left = new Map(settings)
  const kept = before.get(fixedByPast)
  if (kept === undefined) left.delete(fixedByPast)
  else left.set(fixedByPast, kept)
  return left
}

/** What a client allows its own statements must not cut short ours: reset first and set last. */
const timeoutNames = new Set(['statement_timeout', 'transaction_timeout'])

/**
 * SQL that turns a server with `from` into one with `to`. Whether the settings may be changed only
 * before the identity is, or only after it, depends on what the client did in which order.
 */
export function settingsSql(from: Settings, to: Settings, identityFirst = false): string {
  const statements: string[] = []
  const inForce = [...from.keys()].filter((name) => timeoutNames.has(name))
  for (const name of inForce) statements.push(resetSql(name))
  for (const name of from.keys())
    if (identityNames.has(name) && !to.has(name)) statements.push(resetSql(name))
  for (const name of from.keys())
    if (!identityNames.has(name) && !timeoutNames.has(name) && !to.has(name))
      statements.push(resetSql(name))
  const isOtherUser = from.get(sessionUser) !== to.get(sessionUser)
  const changed = [...to].filter(
    ([name, value]) => from.get(name) !== value || (isOtherUser && name === 'role'),
  )
  const others = changed.filter(([name]) => !identityNames.has(name) && !timeoutNames.has(name))
  const identity = [...identityNames].flatMap((name) => changed.filter(([one]) => one === name))
  const ordered = [
    ...(identityFirst ? [...identity, ...others] : [...others, ...identity]),
    // Anybody may set these.
    ...[...to].filter(([name]) => timeoutNames.has(name)),
  ]
  const calls = ordered.map(
    ([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, false)`,
  )
  if (calls.length > 0) statements.push(`SELECT ${calls.join(', ')}`)
  return statements.join('; ')
}

function resetSql(name: string): string {
  if (name === sessionUser) return 'RESET SESSION AUTHORIZATION'
  return `RESET ${name.split('.').map(identifier).join('.')}`
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** An E'' literal reads the same whatever standard_conforming_strings says. */
export function literal(value: string): string {
  return `E'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/**
 * Splits startup parameters into those that name the session (user, database, replication) and
 * the settings, with `options` taken apart where it holds only -c name=value switches.
 * `options` that cannot be taken apart stay, and the server must be opened with them.
 */
export function startupSettings(parameters: ReadonlyMap<string, string>): {
  settings: Settings
  options: string
} {
  const settings = new Map<string, string>()
  let options = ''
  for (const [name, value] of parameters) {
    if (
      name === 'user' ||
      name === 'database' ||
      name === 'replication' ||
      name.startsWith('_pq_.')
    )
      continue
    if (name === 'options') {
      const parsed = parseOptions(value)
      if (parsed === null) options = value
      else for (const [option, setting] of parsed) settings.set(option, setting)
      continue
    }
    settings.set(settingName(name), value)
  }
  return { settings, options }
}

/** Setting names are case-insensitive; the server reports some in mixed case. */
export function settingName(name: string): string {
  return name.toLowerCase()
}

/** The switches in `options`, or null when there are others than -c and --name=value. */
export function parseOptions(options: string): readonly [string, string][] | null {
  const found: [string, string][] = []
  const words = splitOptions(options)
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? ''
    let assignment: string
    if (word === '-c') {
      index += 1
      assignment = words[index] ?? ''
    } else if (word.startsWith('-c')) assignment = word.slice(2)
    else if (word.startsWith('--')) assignment = word.slice(2)
    else return null
    const equals = assignment.indexOf('=')
    if (equals < 1) return null
    // The server turns - into _ in names given this way (ParseLongOption).
    found.push([
      settingName(assignment.slice(0, equals).replaceAll('-', '_')),
      assignment.slice(equals + 1),
    ])
  }
  return found
}

/** Splits at white space; a backslash takes the next character as it is (pg_split_opts). */
function splitOptions(options: string): string[] {
  const words: string[] = []
  let word: string | null = null
  for (let index = 0; index < options.length; index += 1) {
    const character = options[index] ?? ''
    if (/\s/.test(character)) {
      if (word !== null) words.push(word)
      word = null
      continue
    }
    if (character === '\\') index += 1
    word = (word ?? '') + (options[index] ?? '')
  }
  if (word !== null) words.push(word)
  return words
}
