/**
 * Decides, once per transaction, which side serves it. Nothing later looks at the text again.
 * The primary gets everything except a request that is surely a read, of a session whose seat
 * lies within the route's share, that has not written just now and carries nothing of its own.
 */
import { PontoonError } from '../../shared/errors.ts'
import { frontend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { cstringEnd } from '../../wire/pg/read.ts'
import { commandComplete, readyForQuery } from '../../wire/pg/write.ts'
import type { Access, PoolSlot } from './pool-set.ts'
import type { Session } from './session.ts'

export interface SideChoice {
  readonly slot: PoolSlot
  /** What the classifier made of it; a `write` may be a read that was not looked at. */
  readonly access: Access
  readonly onPrimary: boolean
}

type Request = 'read' | 'begin-read-only' | 'other'

/** `answered`: a BEGIN READ ONLY was answered here and waits for its first statement. */
export function chooseSide(
  session: Session,
  bytes: Buffer,
  offset: number,
  end: number,
  total: number,
): SideChoice | 'answered' {
  const { route, config, clock } = session.context
  const { kinds } = session.identity
  const primary = kinds[route.primary].write
  if (!looksAtTexts(session)) return { slot: primary, access: 'write', onPrimary: true }
  const request = examine(session, bytes, offset, end, total)
  const isInShare = session.identity.seat.position * 100 < route.reads
  if (request === 'begin-read-only' && isInShare && session.deferredBegin === null) {
    deferBegin(session, bytes, offset, total)
    return 'answered'
  }
  if (request !== 'read') return { slot: primary, access: 'write', onPrimary: true }
  const hasJustWritten = clock.nowMs() - session.lastWriteMs < config.route.readAfterWriteMs
  if (!isInShare || hasJustWritten) return { slot: primary, access: 'read', onPrimary: true }
  const slot = kinds.target.read
  // The primary can always answer.
  if (slot.pool.isDown) return { slot: primary, access: 'read', onPrimary: true }
  return { slot, access: 'read', onPrimary: false }
}

/**
 * Whether a read of this session could go anywhere but to the primary. With the target as primary
 * a share below 100 would send reads to the fenced source, which no version does yet. A client
 * encoding whose characters contain ASCII bytes makes texts ambiguous.
 */
function looksAtTexts(session: Session): boolean {
  const { route } = session.context
  if (!session.isPooled) return false
  if (route.reads === 0 || route.primary === 'target') return false
  if (session.settings.has('default_transaction_read_only')) return false
  return !ambiguousEncodings.has(session.reported.get('client_encoding') ?? '')
}

/** Client encodings that are no superset of ASCII (PostgreSQL documentation, 24.3.1). */
const ambiguousEncodings = new Set([
  'SJIS',
  'SHIFT_JIS_2004',
  'BIG5',
  'GBK',
  'GB18030',
  'UHC',
  'JOHAB',
])

/**
 * Whether a Query inside a READ ONLY transaction could leave it and go on: it would go on on the
 * side that is not primary, so it cannot be allowed.
 */
export function leavesReadOnly(sql: string): boolean {
  return /;\s*[^\s;]/.test(sql) || /\bread\s+write\b|transaction_read_only/i.test(sql)
}

/** Whether a text may end its transaction: what follows would run in another. */
export function mayEndTransaction(sql: string): boolean {
  if (/^\s*rollback\s+((work|transaction)\s+)?to\s/i.test(sql)) return false
  const ends = /\b(commit|rollback|end|abort|prepare)\b/i
  // Behind a comment it can begin anywhere.
  return /^\s*(\/\*|--)/.test(sql) ? ends.test(sql) : ends.test(/^\s*\w*/.exec(sql)?.[0] ?? '')
}

/** On the side that is not primary: the session would go on outside its READ ONLY transaction. */
export function readOnlyLeft(): PontoonError {
  return new PontoonError(
    'READ_ONLY_LEFT',
    'this text would leave its READ ONLY transaction, which runs on the side that takes no writes',
  )
}

/** Looks at everything up to the end of the request; what is not all here is `other`. */
function examine(
  session: Session,
  bytes: Buffer,
  offset: number,
  end: number,
  total: number,
): Request {
  if (offset + total > end) return 'other'
  if (bytes[offset] === frontend.query) {
    return session.identity.classifier.verdict(
      bytes.toString('utf8', offset + headerBytes, offset + total - 1),
    )
  }
  return examineBatch(session, bytes, offset, end)
}

/** An extended batch is a read when every statement in it is, up to a Sync that is here already. */
function examineBatch(session: Session, bytes: Buffer, start: number, end: number): Request {
  const parsed = new Map<string, boolean>()
  let offset = start
  let isFirst = true
  while (end - offset >= headerBytes) {
    const type = bytes[offset] ?? 0
    const messageEnd = offset + 1 + bytes.readInt32BE(offset + 1)
    if (messageEnd > end || messageEnd < offset + headerBytes) return 'other'
    switch (type) {
      case frontend.sync:
        return isFirst ? 'other' : 'read'
      case frontend.parse:
        if (!parseIsRead(session, bytes, offset, messageEnd, parsed)) return 'other'
        break
      case frontend.bind: {
        const portalEnd = cstringEnd(bytes, offset + headerBytes, messageEnd, 'CLIENT_PROTOCOL')
        if (!nameIsRead(session, bytes, portalEnd + 1, messageEnd, parsed)) return 'other'
        break
      }
      case frontend.describe:
        if (
          bytes[offset + headerBytes] === 0x53 &&
          !nameIsRead(session, bytes, offset + headerBytes + 1, messageEnd, parsed)
        )
          return 'other'
        break
      case frontend.execute:
      case frontend.close:
        break
      default:
        return 'other'
    }
    isFirst = false
    offset = messageEnd
  }
  return 'other'
}

function parseIsRead(
  session: Session,
  bytes: Buffer,
  offset: number,
  end: number,
  parsed: Map<string, boolean>,
): boolean {
  const nameEnd = cstringEnd(bytes, offset + headerBytes, end, 'CLIENT_PROTOCOL')
  const sqlEnd = cstringEnd(bytes, nameEnd + 1, end, 'CLIENT_PROTOCOL')
  const isRead =
    hasOnlyBuiltInTypes(bytes, sqlEnd + 1, end) &&
    isReadText(session, bytes.toString('utf8', nameEnd + 1, sqlEnd))
  parsed.set(bytes.toString('latin1', offset + headerBytes, nameEnd), isRead)
  return isRead
}

function nameIsRead(
  session: Session,
  bytes: Buffer,
  start: number,
  end: number,
  parsed: Map<string, boolean>,
): boolean {
  const name = bytes.toString('latin1', start, cstringEnd(bytes, start, end, 'CLIENT_PROTOCOL'))
  const inBatch = parsed.get(name)
  if (inBatch !== undefined) return inBatch
  const statement =
    name === '' ? session.statements.unnamed : session.statements.get(name)?.statement
  if (statement === undefined || statement === null) return false
  const typesStart = statement.parse.indexOf(0, statement.parse.indexOf(0, headerBytes) + 1) + 1
  return (
    hasOnlyBuiltInTypes(statement.parse, typesStart, statement.parse.length) &&
    isReadText(session, statement.sql)
  )
}

/** Types of users and extensions have other OIDs on the other side (FirstNormalObjectId). */
function hasOnlyBuiltInTypes(bytes: Buffer, start: number, end: number): boolean {
  for (let offset = start + 2; offset + 4 <= end; offset += 4) {
    if (bytes.readUInt32BE(offset) >= 16_384) return false
  }
  return true
}

function isReadText(session: Session, sql: string): boolean {
  return session.identity.classifier.verdict(sql) === 'read'
}

/**
 * A READ ONLY transaction is routed at its first statement, not at its BEGIN: until then it could
 * still become READ WRITE. The BEGIN is answered here and sent ahead of that statement.
 */
function deferBegin(session: Session, bytes: Buffer, offset: number, total: number): void {
  session.deferredBegin = Buffer.from(bytes.subarray(offset, offset + total))
  const text = bytes.toString('latin1', offset + headerBytes, offset + total - 1)
  const tag = /^\s*start\b/i.test(text) ? 'START TRANSACTION' : 'BEGIN'
  session.client.sendOwned(commandComplete(tag))
  session.client.sendOwned(readyForQuery(txStatus.inTransaction))
}
