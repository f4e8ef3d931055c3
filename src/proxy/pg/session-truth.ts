/**
 * What a session has left behind on its server, asked of the server itself. A text of SQL tells
 * that something may have changed (routing/session-effects.ts); whether it has, after rollbacks,
 * functions and errors, only the server knows. Asked once after a transaction with effects, and
 * now and then while a session is pinned, so that pins dissolve.
 */
import { effect, settingNames } from '../../routing/session-effects.ts'
import { literal, settingName, type Settings } from './settings.ts'

/** How often a pinned session is asked whether it still must be. */
export const truthAgeMaxMs = 1_000

const askBits =
  effect.settings |
  effect.listen |
  effect.unlisten |
  effect.prepare |
  effect.deallocate |
  effect.discardAll |
  effect.tempTable |
  effect.holdCursor |
  effect.advisoryLock |
  effect.opaque |
  effect.load |
  effect.other

/** Effects that no catalog shows: the session keeps its server for good. */
const lastingBits: readonly [number, string][] = [
  [effect.load, 'load'],
  [effect.other, 'session-state'],
]

export function needsTruth(effects: number): boolean {
  return (effects & askBits) !== 0
}

const base = `
SELECT 's', s.name, s.setting FROM pg_catalog.pg_settings s WHERE s.source OPERATOR(pg_catalog.=) 'session'
UNION ALL SELECT 'l', c, '' FROM pg_catalog.pg_listening_channels() c
UNION ALL SELECT 'p', 'prepare', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql)
UNION ALL SELECT 'p', 'hold-cursor', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable)
UNION ALL SELECT 'p', 'advisory-lock', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks l
  WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())
UNION ALL SELECT 'p', 'temp-table', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_class c
  WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())`

/** Statements that clients have prepared by the protocol: code that is not seen may close them. */
const preparedCount = `UNION ALL SELECT 'd', '', (SELECT pg_catalog.count(*)
  FROM pg_catalog.pg_prepared_statements p WHERE NOT p.from_sql)::pg_catalog.text`
const countBits = effect.opaque | effect.deallocate | effect.discardAll

export class SessionTruth {
  readonly sql: string
  readonly #lasting: string
  #names: readonly string[]
  /** A setting was changed whose name could not be told. */
  #blind = false
  readonly #settings = new Map<string, string>()
  readonly #pins: string[] = []
  /** Channels that the server listens to. */
  readonly channels: string[] = []
  /** How many statements are prepared there by the protocol; null when it was not asked. */
  prepared: number | null = null
  failed = false

  constructor(effects: number, texts: readonly string[], before: Settings) {
    this.#lasting =
      lastingBits.filter(([bit]) => (effects & bit) !== 0).map(([, reason]) => reason)[0] ?? ''
    // Names that pg_settings does not show (custom ones, role) are asked for one by one.
    const names = new Set([...before.keys()].filter(isHidden))
    for (const text of texts) {
      const found = settingNames(text)
      if (found === null && !/^\s*(reset|discard)\s+all\s*;?\s*$/i.test(text)) this.#blind = true
      for (const name of found ?? []) if (isHidden(name)) names.add(name)
    }
    this.#names = [...names]
    const hidden = this.#names.map(
      (name) =>
        `UNION ALL SELECT 'h', ${literal(name)}, pg_catalog.current_setting(${literal(name)}, true)`,
    )
    const counted = (effects & countBits) === 0 ? [] : [preparedCount]
    this.sql = [base, ...counted, ...hidden].join('\n')
  }

  /** One row of the answer. */
  row(columns: readonly (string | null)[]): void {
    const [kind, name, value] = columns
    if (name === null || name === undefined) return
    if (kind === 'p') this.#pins.push(name)
    else if (kind === 'd') this.prepared = Number(value)
    else if (kind === 'l') this.channels.push(name)
    else if (kind === 's') this.#settings.set(settingName(name), value ?? '')
    else if (kind === 'h' && isSet(name, value)) this.#settings.set(name, value ?? '')
  }

  settings(): Settings {
    return this.#settings
  }

  /** Why the session keeps its server; `listen` only when nothing else keeps it. */
  pinReason(before: string, hasLongStatement: boolean): string {
    if (this.failed) return 'unknown-state'
    if (hasLongStatement && before === 'long-statement') return before
    if (lastingReasons.has(before)) return before
    if (this.#lasting !== '') return this.#lasting
    if (this.#blind) return 'settings'
    if (this.#pins.length === 0 && this.channels.length > 0) return 'listen'
    return this.#pins[0] ?? ''
  }
}

/** Reasons that no later answer takes back. */
const lastingReasons = new Set([
  'load',
  'session-state',
  'settings',
  'unknown-state',
  'unscanned',
  'sequence',
  'replication',
])

/** Reasons that DISCARD ALL takes back: settings that cannot be seen are reset, sequences too. */
export const undoneByDiscard = new Set(['settings', 'unscanned', 'sequence'])

function isHidden(name: string): boolean {
  return name.includes('.') || name === 'role' || name === 'session_authorization'
}

function isSet(name: string, value: string | null | undefined): boolean {
  if (value === null || value === undefined || value === '') return false
  return !(name === 'role' && value === 'none')
}
