/**
 * The effects a statement may have on its session, and the functions that have them: a table of
 * lower-cased bytes that is compared with a statement's bytes without making a string. Used by
 * session-effects.ts and session-statements.ts.
 */

/** What a statement may do to the session that runs it. Bits of one number. */
export const effect = {
  /** Changes settings for longer than its transaction; settingNames() tells which. */
  settings: 1 << 0,
  listen: 1 << 1,
  unlisten: 1 << 2,
  /** SQL-level PREPARE, EXECUTE and DEALLOCATE; protocol-level statements never come here. */
  prepare: 1 << 3,
  execute: 1 << 4,
  deallocate: 1 << 5,
  /** DISCARD ALL, which also sets `settings`. */
  discardAll: 1 << 6,
  /** Makes a temporary table, view or sequence, or names the schema pg_temp at all. */
  tempTable: 1 << 7,
  holdCursor: 1 << 8,
  /** Takes an advisory lock that outlives its transaction. */
  advisoryLock: 1 << 9,
  load: 1 << 10,
  /** Reads what nextval left behind in the session: currval, lastval. */
  sequenceState: 1 << 11,
  /** Other state with a session's lifetime, or a function name that is written in code points. */
  other: 1 << 12,
  /**
   * DO or CALL: what runs inside cannot be told for sure. A DO block's body is read like a
   * statement all the same, so what it does in plain words has its own bit. A SELECT of a user's
   * function is just as opaque and carries no bit, so this one is for counting, not for pinning.
   */
  opaque: 1 << 13,
  /** May undo what pins the session: DROP, CLOSE, the unlock of an advisory lock. */
  release: 1 << 14,
} as const

/** Upper and lower case letters fall together; so do a few signs that no name here contains. */
const fold = 0x20

export function foldedWord(word: string): Uint8Array {
  return Uint8Array.from(word, (letter) => letter.charCodeAt(0) | fold)
}

/** Whether bytes[from, to) is the given word in any case. */
export function isWord(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  const length = word.length
  if (to - from !== length) return false
  for (let i = 0; i < length; i++) {
    if (((bytes[from + i] ?? 0) | fold) !== word[i]) return false
  }
  return true
}

const sessionFunctions: Readonly<Record<string, number>> = {
  set_config: effect.settings,
  // pg_trgm keeps its threshold in a setting.
  set_limit: effect.settings,
  pg_advisory_lock: effect.advisoryLock,
  pg_advisory_lock_shared: effect.advisoryLock,
  pg_try_advisory_lock: effect.advisoryLock,
  pg_try_advisory_lock_shared: effect.advisoryLock,
  pg_advisory_unlock: effect.release,
  pg_advisory_unlock_shared: effect.release,
  pg_advisory_unlock_all: effect.release,
  currval: effect.sequenceState,
  lastval: effect.sequenceState,
  setseed: effect.other,
  // Connections that the server's session holds open.
  dblink_connect: effect.other,
  dblink_connect_u: effect.other,
  dblink_disconnect: effect.other,
  dblink_open: effect.other,
  dblink_send_query: effect.other,
  pg_replication_origin_session_setup: effect.other,
  pg_replication_origin_session_reset: effect.other,
  // A temporary slot lives as long as its session; whether it is one is an argument.
  pg_create_physical_replication_slot: effect.other,
  pg_create_logical_replication_slot: effect.other,
  pg_copy_physical_replication_slot: effect.other,
  pg_copy_logical_replication_slot: effect.other,
  // A base backup ends with the session that began it.
  pg_start_backup: effect.other,
  pg_stop_backup: effect.other,
  pg_backup_start: effect.other,
  pg_backup_stop: effect.other,
  // Session variables of well-known extensions (pg_variables, orafce).
  pgv_set: effect.other,
  pgv_insert: effect.other,
  set_context: effect.other,
  set_identifier: effect.other,
}

interface SessionFunction {
  readonly word: Uint8Array
  readonly bits: number
}

/** By length, so that nearly every call is told apart without looking at its name. */
const functionsByLength: readonly (readonly SessionFunction[] | undefined)[] = (() => {
  const table: (SessionFunction[] | undefined)[] = Array.from({ length: 64 }, () => undefined)
  for (const [name, bits] of Object.entries(sessionFunctions)) {
    const sameLength = (table[name.length] ??= [])
    sameLength.push({ word: foldedWord(name), bits })
  }
  return table
})()

/** The effects of calling the function whose unqualified name is bytes[from, to). */
export function callEffects(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from
  if (length >= functionsByLength.length) return 0
  const sameLength = functionsByLength[length]
  if (sameLength === undefined) return 0
  for (const candidate of sameLength) {
    if (isWord(bytes, from, to, candidate.word)) return candidate.bits
  }
  return 0
}
