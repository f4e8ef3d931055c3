/**
 * The hash slot of a key, on its bytes: CRC-16/XMODEM of the key, or of its hash tag, modulo 16384.
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
 */
export const hashSlotCount = 16_384

const polynomial = 0x1021
const openBrace = 0x7b
const closeBrace = 0x7d

const crcTable: Uint16Array = (() => {
  const table = new Uint16Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ polynomial
    }
    table[byte] = crc
  }
  return table
})()

export function hashSlot(bytes: Uint8Array, start: number, end: number): number {
  let from = start
  let to = end
  // Of the first `{` up to the first `}` behind it, when something stands between them.
  for (let at = start; at < end; at++) {
    if (bytes[at] !== openBrace) continue
    let close = at + 1
    while (close < end && bytes[close] !== closeBrace) close++
    if (close < end && close > at + 1) {
      from = at + 1
      to = close
    }
    break
  }
  let crc = 0
  for (let at = from; at < to; at++) {
    crc = ((crc << 8) & 0xffff) ^ (crcTable[(crc >>> 8) ^ (bytes[at] ?? 0)] ?? 0)
  }
  return crc & (hashSlotCount - 1)
}
