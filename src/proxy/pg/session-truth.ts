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

/** What a setting is, and for a timeout that is out of force what it would be had it not been set. */
const settingsQuestion = (timeouts: readonly string[]): string => {
  const [first, ...others] = timeouts.map(
    (name) => `s.name OPERATOR(pg_catalog.=) ${literal(name)}`,
  )
  const value =
    first === undefined
      ? 's.setting'
      : `CASE WHEN ${[first, ...others].join(' OR ')} THEN s.reset_val ELSE s.setting END`
  return `SELECT 's', s.name, ${value} FROM pg_catalog.pg_settings s WHERE s.source OPERATOR(pg_catalog.=) 'session'`
}

const otherQuestions = `
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

/**
 * Limits of the client's own that would cut the question off, a transaction_timeout together with
 * the session. They are out of force for it, and what they are is read before: by SHOW, which looks
 * into no catalog and so is done before the shortest of them ends it.
 */
const fatalTimeout = 'transaction_timeout'
/** Put out of force only when the question has failed once: a limit seldom that short. */
const plainTimeout = 'statement_timeout'

function withoutTimeout(name: string): string {
  return `SHOW ${name}; SET LOCAL ${name} = 0;\n`
}

export class SessionTruth {
  readonly #furtherQuestions: string
  /** Out of force for the question. */
  #timeouts: readonly string[]
  /** What those are, in the same order. */
  readonly #shown: string[] = []
  #asked: 'once' | 'again' | 'twice' = 'once'
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

  constructor(parts: {
    readonly effects: number
    readonly texts: readonly string[]
    readonly before: Settings
    /** The server knows a transaction_timeout. */
    readonly hasFatalTimeout: boolean
  }) {
    const { effects, texts, before, hasFatalTimeout } = parts
    this.#timeouts = hasFatalTimeout ? [fatalTimeout] : []
    this.#lasting =
      lastingBits.filter(([bit]) => (effects & bit) !== 0).map(([, reason]) => reason)[0] ?? ''
    // Names that pg_settings does not show (custom ones, role) are asked for one by one.
    const names = new Set([...before.keys()].filter(isHidden))
    for (const text of texts) {
      const found = settingNames(text)
      if (found === null) this.#blind = true
      for (const name of found ?? []) if (isHidden(name)) names.add(name)
    }
    this.#names = [...names]
    const hidden = this.#names.map(
      (name) =>
        `UNION ALL SELECT 'h', ${literal(name)}, pg_catalog.current_setting(${literal(name)}, true)`,
    )
    const counted = (effects & countBits) === 0 ? [] : [preparedCount]
    this.#furtherQuestions = [otherQuestions, ...counted, ...hidden].join('\n')
  }

  get sql(): string {
    const timeouts = this.#timeouts
    return (
      timeouts.map(withoutTimeout).join('') + settingsQuestion(timeouts) + this.#furtherQuestions
    )
  }

  /** The server has refused to answer, the first time or again. */
  refused(): void {
    if (this.#asked === 'twice') this.failed = true
    else this.#asked = 'again'
  }

  /** Whether the question is to be put once more; then all of it is answered anew. */
  startsOver(): boolean {
    if (this.#asked !== 'again') return false
    this.#asked = 'twice'
    this.#timeouts = [...this.#timeouts, plainTimeout]
    this.#shown.length = 0
    this.#settings.clear()
    this.#pins.length = 0
    this.channels.length = 0
    return true
  }

  /** One row of the answer. */
  row(columns: readonly (string | null)[]): void {
    const [kind, name, value] = columns
    if (name === undefined && typeof kind === 'string') this.#shown.push(kind)
    if (name === null || name === undefined) return
    if (kind === 'p') this.#pins.push(name)
    else if (kind === 'd') this.prepared = Number(value)
    else if (kind === 'l') this.channels.push(name)
    else if (kind === 's') this.#noteSetting(settingName(name), value ?? '')
    else if (kind === 'h' && isSet(name, value)) this.#settings.set(name, value ?? '')
  }

  #noteSetting(name: string, value: string): void {
    if (!ofTransaction.has(name)) this.#settings.set(name, value)
  }

  settings(): Settings {
    const all = new Map(this.#settings)
    this.#timeouts.forEach((name, at) => {
      const own = this.#shown[at]
      if (own === undefined || millisecondsIn(own) === Number(all.get(name))) all.delete(name)
      else all.set(name, own)
    })
    return all
  }

  get hasTempTables(): boolean {
    return this.#pins.includes('temp-table')
  }

  /** Why the session keeps its server; `listen` only when nothing else keeps it. */
  pinReason(before: string, hasLongStatement: boolean): string {
    if (this.failed) return 'unknown-state'
    if (hasLongStatement && before === 'long-statement') return before
    if (isLasting(before)) return before
    if (this.#lasting !== '') return this.#lasting
    if (this.#blind) return 'settings'
    if (this.#pins.length === 0 && this.channels.length > 0) return 'listen'
    return this.#pins[0] ?? ''
  }
}

/** Whether no later answer takes the reason back. */
export function isLasting(reason: string): boolean {
  return lastingReasons.has(reason)
}

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

/** SET TRANSACTION leaves them marked as set in the session, though their values have ended. */
const ofTransaction = new Set([
  'transaction_deferrable',
  'transaction_isolation',
  'transaction_read_only',
])

const unitMs = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/** SHOW gives a time in its largest unit (`1min`), pg_settings in milliseconds. */
function millisecondsIn(shown: string): number {
  const [, count, unit = ''] = /^(\d+)([a-z]*)$/.exec(shown) ?? []
  return Number(count) * (unitMs.get(unit) ?? 1)
}

function isHidden(name: string): boolean {
  return name.includes('.') || name === 'role' || name === 'session_authorization'
}

function isSet(name: string, value: string | null | undefined): boolean {
  if (value === null || value === undefined || value === '') return false
  return !(name === 'role' && value === 'none')
}
