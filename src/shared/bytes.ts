/**
 * Bytes copied and compared where Buffer's own methods would cost more than the bytes: each of
 * them makes a view or leaves JavaScript, which pays only from a few hundred bytes on.
 */
import { Buffer } from 'node:buffer'

const shortBytes = 256

/** Copies `from[start, end)` to `into[at, …)`; both ranges must exist. */
export function copyBytes(
  from: Buffer,
  start: number,
  end: number,
  into: Buffer,
  at: number,
): void {
  if (end - start > shortBytes) {
    from.copy(into, at, start, end)
    return
  }
  let to = at
  for (let index = start; index < end; index += 1) {
    into[to] = from[index] ?? 0
    to += 1
  }
}

/** A copy of `from[start, end)`. */
export function bytesOf(from: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start)
  copyBytes(from, start, end, copy, 0)
  return copy
}

/** Whether `bytes[start, end)` is the same as all of `other`. */
export function equalBytes(bytes: Buffer, start: number, end: number, other: Buffer): boolean {
  const length = end - start
  if (other.length !== length) return false
  if (length > shortBytes) return bytes.compare(other, 0, length, start, end) === 0
  for (let index = 0; index < length; index += 1)
    if (bytes[start + index] !== other[index]) return false
  return true
}
