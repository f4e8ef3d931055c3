/**
 * The numbers of the PostgreSQL frontend/backend protocol, version 3
 * (PostgreSQL documentation, "Frontend/Backend Protocol").
 */

/** Message types that a client sends. */
export const frontend = {
  bind: 0x42, // B
  close: 0x43, // C
  describe: 0x44, // D
  execute: 0x45, // E
  functionCall: 0x46, // F
  flush: 0x48, // H
  parse: 0x50, // P
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
  copyDone: 0x63, // c
  copyData: 0x64, // d
  copyFail: 0x66, // f
  /** PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse share it. */
  password: 0x70, // p
} as const

/** Message types that a server sends. */
export const backend = {
  parseComplete: 0x31, // 1
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  notificationResponse: 0x41, // A
  commandComplete: 0x43, // C
  dataRow: 0x44, // D
  errorResponse: 0x45, // E
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  emptyQueryResponse: 0x49, // I
  backendKeyData: 0x4b, // K
  noticeResponse: 0x4e, // N
  authentication: 0x52, // R
  parameterStatus: 0x53, // S
  rowDescription: 0x54, // T
  functionCallResponse: 0x56, // V
  copyBothResponse: 0x57, // W
  readyForQuery: 0x5a, // Z
  copyDone: 0x63, // c
  copyData: 0x64, // d
  noData: 0x6e, // n
  portalSuspended: 0x73, // s
  parameterDescription: 0x74, // t
  negotiateProtocolVersion: 0x76, // v
} as const

/** Codes in the first word of a startup packet. */
export const startupCode = {
  protocol3: 196_608,
  cancel: 80_877_102,
  ssl: 80_877_103,
  gssEncryption: 80_877_104,
} as const

/** Newest minor version of protocol 3 that is spoken, on either leg. */
export const newestMinor = 2

/** Lengths of a secret in BackendKeyData and CancelRequest; `long` is what PostgreSQL 18 gives. */
export const cancelKeyBytes = { short: 4, long: 32, max: 256 } as const

/** Name that TLS without SSLRequest must agree on (ALPN, PostgreSQL 17). */
export const alpnProtocol = 'postgresql'

/** Authentication request codes in an `R` message. */
export const authCode = {
  ok: 0,
  cleartext: 3,
  md5: 5,
  sasl: 10,
  saslContinue: 11,
  saslFinal: 12,
} as const

/** Transaction status in ReadyForQuery. */
export const txStatus = {
  idle: 0x49, // I
  inTransaction: 0x54, // T
  failed: 0x45, // E
} as const

/** Type byte and length word. */
export const headerBytes = 5

/** Hex forms of a type byte for messages to humans, as the server itself writes them. */
export function typeName(type: number): string {
  return `0x${type.toString(16).padStart(2, '0').toUpperCase()}`
}
