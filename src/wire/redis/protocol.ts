/** Bytes and bounds of the Redis protocol, RESP2 and RESP3, that the framers share. */
export const marker = {
  simple: 0x2b, // +
  error: 0x2d, // -
  integer: 0x3a, // :
  bulk: 0x24, // $
  array: 0x2a, // *
  null: 0x5f, // _
  boolean: 0x23, // #
  double: 0x2c, // ,
  bigNumber: 0x28, // (
  bulkError: 0x21, // !
  verbatim: 0x3d, // =
  map: 0x25, // %
  set: 0x7e, // ~
  attribute: 0x7c, // |
  push: 0x3e, // >
} as const

export const cr = 0x0d
export const lf = 0x0a
export const zero = 0x30
export const nine = 0x39
export const minus = 0x2d

/** PROTO_INLINE_MAX_SIZE of the server: an inline command, or the line of a length, is no longer. */
export const lineBytesMax = 64 * 1024

/** INT_MAX: the server takes no more arguments than this. */
export const argumentsMax = 2_147_483_647

/** proto-max-bulk-len of the server by default. */
export const bulkBytesMax = 512 * 1024 * 1024

/** More elements than any server holds: a reply that announces them is nonsense. */
export const elementsMax = 2 ** 48
