/**
 * How values come from a side and go back to it, as text. A database in SQL_ASCII may hold bytes
 * that are no text in any encoding, and its server refuses to send them to a session in UTF8: then
 * such bytes travel as `\\374`, which an escape string takes as it is.
 */
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { identifier, literal } from '../quote.ts'
import type { HashForm } from './row-hash.ts'
import type { RowReader } from './row-reader.ts'

type Form = Pick<HashForm, 'asBytes'>

/** For keys: as a cast to text writes them. */
export function keyTextSql(form: Form, column: string): string {
  return sentSql(form, `${identifier(column)}::text`)
}

/**
 * What the type's output function writes, where a cast to text would leave out blanks; NULL for
 * NULL only, where IS NULL also holds for ROW(NULL).
 */
export function valueTextSql(form: Form, column: string): string {
  const name = identifier(column)
  const text = sentSql(form, `pg_catalog.concat(${name})`)
  return `CASE WHEN pg_catalog.num_nulls(${name}) = 0 THEN ${text} END`
}

/** A value that came by one of these. */
export function valueLiteral({ asBytes }: Form, text: string): string {
  return asBytes ? ` E'${text.replaceAll("'", "''")}'` : literal(text)
}

/** For a catch: what a server means that does not take such a value. */
export function withoutText({ table }: RowReader): (error: unknown) => never {
  return (error) => {
    if (!hasSqlstate(error, '22021')) throw error
    throw new PontoonError(
      'SQL_FAILED',
      `${table.label}: a key has bytes that are no text in the encoding of the other side. A database ` +
        'in SQL_ASCII takes any bytes, and only another one in SQL_ASCII can hold the same: mend these ' +
        "rows, or make the target's database with ENCODING 'SQL_ASCII' TEMPLATE template0. " +
        (error instanceof Error ? error.message : ''),
      { cause: error },
    )
  }
}

/** The escape format doubles backslashes and writes bytes above 127 as three octal digits. */
function sentSql({ asBytes }: Form, text: string): string {
  return asBytes ? `pg_catalog.encode(pg_catalog.convert_to(${text}, 'SQL_ASCII'), 'escape')` : text
}
