/** Amounts as people read and type them: 1.5 GB, 50MB/s. Decimal units, as disks and networks have. */
import { PontoonError } from '../shared/errors.ts'

export type ProgressUnit = 'bytes' | 'rows' | 'steps'

const byteUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const
const rowUnits = ['', 'k', 'M', 'G', 'T'] as const

export function formatAmount(amount: number, unit: ProgressUnit): string {
  if (unit === 'steps') return String(Math.round(amount))
  const units = unit === 'bytes' ? byteUnits : rowUnits
  let value = amount
  let at = 0
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1_000
    at += 1
  }
  const digits = at === 0 || value >= 99.95 ? 0 : 1
  const text = value.toFixed(digits)
  return unit === 'bytes'
    ? `${text} ${units[at]}`
    : `${text}${units[at]} ${text === '1' && at === 0 ? 'row' : 'rows'}`
}

/** Bytes of `64MB`, `1.5GB`, or per second of `50MB/s`. Throws USAGE; `option` names it. */
export function parseBytes(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kKMGT]?)B?(?:\/s)?$/.exec(text)
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match?.[2] ?? '').toUpperCase())
  const bytes = Math.round(Number(match?.[1]) * 1_000 ** power)
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new PontoonError('USAGE', `${option}: '${text}' is no size such as 64MB or 1.5GB.`)
  return bytes
}
