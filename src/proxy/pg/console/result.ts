/** Writes what the console answers: tables, notices and errors in the text format. */
import { backend } from '../../../wire/pg/protocol.ts'
import { MessageWriter, commandComplete } from '../../../wire/pg/write.ts'

export type ColumnType = 'text' | 'int4' | 'int8' | 'numeric'
export type Columns = readonly (readonly [name: string, type: ColumnType])[]
export type Row = readonly (string | number | null)[]

/** Type and length as pg_type has them. */
const types: Readonly<Record<ColumnType, readonly [oid: number, bytes: number]>> = {
  text: [25, -1],
  int4: [23, 4],
  int8: [20, 8],
  numeric: [1700, -1],
}

/** All columns of one type, for the many tables that have few others. */
export function columnsOf(type: ColumnType, names: string): Columns {
  return names.split(' ').map((name) => [name, type] as const)
}

/** RowDescription, the rows and the CommandComplete of a SHOW. */
export function table(columns: Columns, rows: Iterable<Row>): Buffer[] {
  const messages = [rowDescription(columns)]
  for (const row of rows) messages.push(dataRow(row))
  messages.push(commandComplete('SHOW'))
  return messages
}

function rowDescription(columns: Columns): Buffer {
  const writer = new MessageWriter().int16(columns.length)
  for (const [name, type] of columns) {
    const [oid, bytes] = types[type]
    writer.cstring(name).int32(0).int16(0).int32(oid).int16(bytes).int32(-1).int16(0)
  }
  return writer.finish(backend.rowDescription)
}

function dataRow(row: Row): Buffer {
  const writer = new MessageWriter().int16(row.length)
  for (const value of row) {
    if (value === null) {
      writer.int32(-1)
      continue
    }
    const text = Buffer.from(String(value))
    writer.int32(text.length).bytes(text)
  }
  return writer.finish(backend.dataRow)
}

export function notice(message: string, detail?: string): Buffer {
  return fields(backend.noticeResponse, 'NOTICE', '00000', message, detail)
}

/** PgBouncer gives every error of its console this SQLSTATE. */
const consoleSqlstate = '08P01'

export function consoleError(message: string, hint?: string, sqlstate = consoleSqlstate): Buffer {
  return fields(backend.errorResponse, 'ERROR', sqlstate, message, undefined, hint)
}

function fields(
  type: number,
  severity: string,
  sqlstate: string,
  message: string,
  detail?: string,
  hint?: string,
): Buffer {
  const writer = new MessageWriter()
  const given = { S: severity, V: severity, C: sqlstate, M: message, D: detail, H: hint }
  for (const [letter, text] of Object.entries(given)) {
    if (text !== undefined) writer.byte(letter.charCodeAt(0)).cstring(text)
  }
  return writer.byte(0).finish(type)
}
