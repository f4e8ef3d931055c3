/**
 * The columns of a prepared statement, to find out whether a client that was told them on one
 * server would get others on another: as the server itself compares them (names, types, type
 * modifiers), whatever the format of each.
 */
import type { Columns, PreparedHere } from '../../net/pg/prepared.ts'
import type { Side } from '../../shared/side.ts'
import { readColumns } from '../../wire/pg/read.ts'

/** OIDs from here on are given out by each database for itself (FirstNormalObjectId). */
const userOidMin = 16_384

/** A RowDescription whose body is bytes[start, end). */
export function columnsIn(side: Side, bytes: Buffer, start: number, end: number): Columns {
  let exact = ''
  let portable = ''
  for (const { name, type, modifier } of readColumns(bytes, start, end)) {
    exact += `${name}\0${type}\0${modifier}\0`
    portable += `${name}\0${type < userOidMin ? type : 'user'}\0${modifier}\0`
  }
  return { side, exact, portable }
}

export function noColumns(side: Side): Columns {
  return { side, exact: '', portable: '' }
}

/** Whether they are not known to differ. */
export function givesWhatWasTold(here: PreparedHere, told: PreparedHere): boolean {
  const [now, before] = [here.columns, told.columns]
  if (now === null || before === null || now === before) return true
  return now.side === before.side ? now.exact === before.exact : now.portable === before.portable
}
