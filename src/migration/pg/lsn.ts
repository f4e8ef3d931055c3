/** Positions in the write-ahead log, as numbers that can be compared. */

/** A position in the write-ahead log of one cluster, in bytes. */
export type Lsn = bigint & { readonly brand: 'lsn' }

/** `16/B374D848`, as pg_lsn is written. Throws RangeError for anything else. */
export function parseLsn(text: string): Lsn {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text) ?? []
  if (high === undefined || low === undefined) throw new RangeError(`no pg_lsn: ${text}`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the brand is given here only
  return ((BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)) as Lsn
}

/** Null where a server has none (yet). */
export function lsnOf(text: string | null | undefined): Lsn | null {
  return text === null || text === undefined ? null : parseLsn(text)
}

const hexadecimal = (value: bigint): string => value.toString(16).toUpperCase()

export function formatLsn(lsn: Lsn): string {
  return `${hexadecimal(lsn >> 32n)}/${hexadecimal(lsn & 0xffff_ffffn)}`
}
