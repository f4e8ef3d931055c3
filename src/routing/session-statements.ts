/**
 * The statements that change a session, told by their first words. Called by session-effects.ts
 * for words at the start of a statement and for the few that matter inside one.
 */
import { effect, foldedWord, isWord } from './session-functions.ts'
import { blankEnd, byteClass, classOf, quotedNameEnd, wordEnd } from './sql-bytes.ts'

/** What is known of the statement at hand, kept above the effects in the same number. */
export const mark = {
  /** The next word begins a statement. */
  start: 1 << 20,
  /** Behind EXPLAIN: options come first, then the statement. */
  explain: 1 << 21,
  create: 1 << 22,
  /** Behind DO: its strings are code. */
  code: 1 << 23,
  /** The text is the body of a DO: statements begin after BEGIN, THEN, ELSE and LOOP too. */
  body: 1 << 24,
  /** A string ends elsewhere under another reading. */
  ambiguous: 1 << 25,
  /** Every word has to be looked at. */
  busy: (1 << 20) | (1 << 21) | (1 << 22) | (1 << 24),
  /** What a semicolon leaves. */
  kept: ((1 << 20) - 1) | (1 << 24) | (1 << 25),
} as const
export const effectBits = (1 << 20) - 1

const word = {
  set: foldedWord('set'),
  reset: foldedWord('reset'),
  listen: foldedWord('listen'),
  load: foldedWord('load'),
  unlisten: foldedWord('unlisten'),
  prepare: foldedWord('prepare'),
  transaction: foldedWord('transaction'),
  execute: foldedWord('execute'),
  explain: foldedWord('explain'),
  create: foldedWord('create'),
  call: foldedWord('call'),
  close: foldedWord('close'),
  discard: foldedWord('discard'),
  deallocate: foldedWord('deallocate'),
  declare: foldedWord('declare'),
  do: foldedWord('do'),
  drop: foldedWord('drop'),
  into: foldedWord('into'),
  all: foldedWord('all'),
  for: foldedWord('for'),
  with: foldedWord('with'),
  hold: foldedWord('hold'),
  to: foldedWord('to'),
  update: foldedWord('update'),
  only: foldedWord('only'),
  catalog: foldedWord('pg_catalog'),
  settings: foldedWord('pg_settings'),
} as const
const words = (text: string): readonly Uint8Array[] => text.split(' ').map(foldedWord)
const setOfTransaction = words('local transaction constraints')
const beforeTemp = words('or replace global local')
const temporary = words('temp temporary')
const planned = words(
  'select insert update delete merge with values table refresh create declare execute',
)
const blockOpeners = words('begin then else loop')
const notTableNames = words('select with as default using values')
const routines = words('function procedure')
const letterP = 0x70
const tempSchemaName = foldedWord('pg_temp')

function isOneOf(
  bytes: Uint8Array,
  from: number,
  to: number,
  list: readonly Uint8Array[],
): boolean {
  return list.some((candidate) => isWord(bytes, from, to, candidate))
}

/** A word at the start of a statement, or any word of a statement marked `busy`. */
export function wordEffects(
  bytes: Uint8Array,
  from: number,
  to: number,
  end: number,
  before: number,
): number {
  let state = before
  if (state & mark.start) {
    const inBody = (state & mark.body) !== 0
    state |= inBody ? bodyStartEffects(bytes, from, to, end) : startEffects(bytes, from, to, end)
    const options = (state & mark.explain) !== 0 && !isOneOf(bytes, from, to, planned)
    if (!options) state &= ~(mark.start | mark.explain)
  } else {
    state |= intoEffects(bytes, from, to, end)
    if (state & mark.create && isWord(bytes, from, to, word.execute)) {
      // CREATE TABLE … AS EXECUTE runs it; a trigger's EXECUTE FUNCTION does not.
      const next = blankEnd(bytes, to, end)
      if (!isOneOf(bytes, next, wordEnd(bytes, next, end), routines)) state |= effect.execute
    }
  }
  if (state & mark.body && isOneOf(bytes, from, to, blockOpeners)) state |= mark.start
  return state
}

/** Effects and marks of a statement that begins with this word. */
function startEffects(bytes: Uint8Array, from: number, to: number, end: number): number {
  switch ((bytes[from] ?? 0) | 0x20) {
    case 0x73:
      return isWord(bytes, from, to, word.set) ? setEffects(bytes, to, end) : 0
    case 0x72:
      return isWord(bytes, from, to, word.reset) ? effect.settings : 0
    case 0x6c:
      if (isWord(bytes, from, to, word.listen)) return effect.listen
      return isWord(bytes, from, to, word.load) ? effect.load : 0
    case 0x75:
      if (isWord(bytes, from, to, word.update)) return updateEffects(bytes, to, end)
      return isWord(bytes, from, to, word.unlisten) ? effect.unlisten : 0
    case 0x70:
      return isWord(bytes, from, to, word.prepare) ? prepareEffects(bytes, to, end) : 0
    case 0x65:
      if (isWord(bytes, from, to, word.execute)) return effect.execute
      return isWord(bytes, from, to, word.explain) ? mark.explain : 0
    case 0x63:
      if (isWord(bytes, from, to, word.create)) return mark.create | createEffects(bytes, to, end)
      if (isWord(bytes, from, to, word.close)) return effect.release
      return isWord(bytes, from, to, word.call) ? effect.opaque : 0
    case 0x64:
      if (isWord(bytes, from, to, word.deallocate)) return effect.deallocate
      if (isWord(bytes, from, to, word.discard)) return discardEffects(bytes, to, end)
      if (isWord(bytes, from, to, word.declare)) return declareEffects(bytes, to, end)
      if (isWord(bytes, from, to, word.drop)) return effect.release
      return isWord(bytes, from, to, word.do) ? effect.opaque | mark.code : 0
    default:
      return 0
  }
}

/**
 * In the body of a DO. Its DECLARE begins a block. A DO in a DO is not looked into: a text may nest
 * them without end.
 */
function bodyStartEffects(bytes: Uint8Array, from: number, to: number, end: number): number {
  if (isWord(bytes, from, to, word.declare)) return 0
  if (isWord(bytes, from, to, word.do)) return effect.opaque | effect.other
  return startEffects(bytes, from, to, end)
}

/** SET LOCAL, SET TRANSACTION and SET CONSTRAINTS end with the transaction. */
function setEffects(bytes: Uint8Array, from: number, end: number): number {
  const next = blankEnd(bytes, from, end)
  const to = wordEnd(bytes, next, end)
  if (!isOneOf(bytes, next, to, setOfTransaction)) return effect.settings
  // `SET local.x = 1` and `SET transaction.x TO 1` name a setting.
  const after = blankEnd(bytes, to, end)
  const named =
    bytes[after] === 0x2e ||
    bytes[after] === 0x3d ||
    isWord(bytes, after, wordEnd(bytes, after, end), word.to)
  return named && after < end ? effect.settings : 0
}

function prepareEffects(bytes: Uint8Array, from: number, end: number): number {
  const next = blankEnd(bytes, from, end)
  const to = wordEnd(bytes, next, end)
  if (!isWord(bytes, next, to, word.transaction)) return effect.prepare
  // `PREPARE transaction AS …` prepares a statement of that name.
  return bytes[blankEnd(bytes, to, end)] === 0x27 ? 0 : effect.prepare
}

function discardEffects(bytes: Uint8Array, from: number, end: number): number {
  const next = blankEnd(bytes, from, end)
  const all = isWord(bytes, next, wordEnd(bytes, next, end), word.all)
  return all ? effect.settings | effect.discardAll : effect.settings
}

/** An UPDATE of pg_settings is a SET. */
function updateEffects(bytes: Uint8Array, from: number, end: number): number {
  let at = blankEnd(bytes, from, end)
  let to = wordEnd(bytes, at, end)
  if (isWord(bytes, at, to, word.only)) {
    at = blankEnd(bytes, to, end)
    to = wordEnd(bytes, at, end)
  }
  if (isWord(bytes, at, to, word.catalog)) {
    const dot = blankEnd(bytes, to, end)
    at = blankEnd(bytes, dot + 1, end)
    to = wordEnd(bytes, at, end)
  }
  return isWord(bytes, at, to, word.settings) ? effect.settings : 0
}

/** WITH HOLD stands before FOR. */
function declareEffects(bytes: Uint8Array, from: number, end: number): number {
  let afterWith = false
  let at = from
  while (at < end) {
    at = blankEnd(bytes, at, end)
    const kind = classOf[bytes[at] ?? 0]
    if (kind === byteClass.semicolon || at >= end) return 0
    if (kind === byteClass.doubleQuote) {
      at = quotedNameEnd(bytes, at + 1, end)
      continue
    }
    const to = wordEnd(bytes, at, end)
    if (isWord(bytes, at, to, word.for)) return 0
    if (afterWith && isWord(bytes, at, to, word.hold)) return effect.holdCursor
    afterWith = isWord(bytes, at, to, word.with)
    at = Math.max(to, at + 1)
  }
  return 0
}

function createEffects(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end) {
    at = blankEnd(bytes, at, end)
    const to = wordEnd(bytes, at, end)
    if (isOneOf(bytes, at, to, temporary)) return effect.tempTable
    if (!isOneOf(bytes, at, to, beforeTemp)) return 0
    at = to
  }
  return 0
}

/** SELECT … INTO TEMP name. `INSERT INTO temp VALUES …` has a table of that name. */
export function intoEffects(bytes: Uint8Array, from: number, to: number, end: number): number {
  if (!isWord(bytes, from, to, word.into)) return 0
  let at = blankEnd(bytes, to, end)
  let next = wordEnd(bytes, at, end)
  if (isOneOf(bytes, at, next, beforeTemp)) {
    at = blankEnd(bytes, next, end)
    next = wordEnd(bytes, at, end)
  }
  if (!isOneOf(bytes, at, next, temporary)) return 0
  const name = blankEnd(bytes, next, end)
  if (name >= end) return 0
  const kind = classOf[bytes[name] ?? 0]
  if (kind !== byteClass.letter && kind !== byteClass.doubleQuote) return 0
  return isOneOf(bytes, name, wordEnd(bytes, name, end), notTableNames) ? 0 : effect.tempTable
}

/** pg_temp, or pg_temp_3 and its like. */
export function namesTempSchema(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from < tempSchemaName.length || ((bytes[from] ?? 0) | 0x20) !== letterP) return false
  if (!isWord(bytes, from, from + tempSchemaName.length, tempSchemaName)) return false
  const rest = from + tempSchemaName.length
  return rest === to || (bytes[rest] === 0x5f && classOf[bytes[rest + 1] ?? 0] === byteClass.digit)
}
