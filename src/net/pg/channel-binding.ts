/**
 * Channel binding `tls-server-end-point` (RFC 5929, section 4): what ties a SCRAM proof to the TLS
 * channel it was given on, so that nobody in between can pass it on. Used by both ends of SCRAM
 * (scram-client.ts, scram-server.ts); the choice between the mechanisms is made here.
 */
import { createHash } from 'node:crypto'
import { TLSSocket, type PeerCertificate } from 'node:tls'
import { PontoonError } from '../../shared/errors.ts'

export const scramMechanism = 'SCRAM-SHA-256'
export const scramPlusMechanism = 'SCRAM-SHA-256-PLUS'

/** As libpq's channel_binding. */
export type ChannelBindingMode = 'disable' | 'prefer' | 'require'

export interface ServerMechanism {
  readonly mechanism: typeof scramMechanism | typeof scramPlusMechanism
  /** Flag of the gs2 header: bound, could bind but was not offered it, cannot bind. */
  readonly gs2: 'p=tls-server-end-point' | 'y' | 'n'
  /** Empty unless bound. */
  readonly data: Buffer
}

/**
 * How to answer a server that offers `offered`; `certificate` is the DER of the one it showed, or
 * null without TLS. Throws SERVER_AUTH_UNSUPPORTED when binding is required and cannot be had.
 */
export function chooseMechanism(
  mode: ChannelBindingMode,
  offered: readonly string[],
  certificate: Buffer | null,
  serverName: string,
): ServerMechanism {
  const hash = mode === 'disable' || certificate === null ? null : endPointHash(certificate)
  if (hash !== null && offered.includes(scramPlusMechanism)) {
    return { mechanism: scramPlusMechanism, gs2: 'p=tls-server-end-point', data: hash }
  }
  if (mode === 'require') throw bindingMissing(serverName, whyNot(certificate, hash))
  if (!offered.includes(scramMechanism)) {
    throw new PontoonError(
      'SERVER_AUTH_UNSUPPORTED',
      `${serverName} offers no SASL mechanism that is supported`,
    )
  }
  // With `y` a server that did offer the binding knows that someone has taken the offer out.
  return { mechanism: scramMechanism, gs2: hash === null ? 'n' : 'y', data: nothing }
}

export function bindingMissing(serverName: string, reason: string): PontoonError {
  return new PontoonError(
    'SERVER_AUTH_UNSUPPORTED',
    `tls.channelBinding is require, but ${serverName} ${reason}`,
  )
}

function whyNot(certificate: Buffer | null, hash: Buffer | null): string {
  if (certificate === null) return 'was reached without TLS'
  if (hash === null) return 'shows a certificate whose signature defines no binding'
  return `does not offer ${scramPlusMechanism}`
}

const nothing = Buffer.alloc(0)

/** DER of the certificate that the other end of a TLS socket showed; null for other sockets. */
export function peerCertificate(socket: unknown): Buffer | null {
  if (!(socket instanceof TLSSocket)) return null
  // getPeerX509Certificate() of Node.js 20 takes it from a client's socket: nobody sees it again.
  const certificate: Partial<PeerCertificate> = socket.getPeerCertificate()
  return certificate.raw ?? null
}

/** The binding that clients of this socket must prove; null when there is none to prove. */
export function ownEndPointHash(socket: unknown): Buffer | null {
  if (!(socket instanceof TLSSocket)) return null
  const certificate = socket.getX509Certificate()?.raw
  return certificate === undefined ? null : endPointHash(certificate)
}

/**
 * Hash of the certificate by the hash of its signature, SHA-256 in the place of MD5 and SHA-1.
 * Null where the signature names none (Ed25519), for which RFC 5929 defines nothing.
 */
export function endPointHash(certificate: Buffer): Buffer | null {
  const name = signatureHash(certificate)
  return name === null ? null : createHash(name).update(certificate).digest()
}

/** Object identifiers (RFC 8017, 5758, 3279) and the hash that each signature uses. */
const signatureHashes: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.4': 'sha256', // md5WithRSA
  '1.2.840.113549.1.1.5': 'sha256', // sha1WithRSA
  '1.2.840.113549.1.1.14': 'sha224',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.1': 'sha256', // ecdsa-with-SHA1
  '1.2.840.10045.4.3.1': 'sha224',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.10040.4.3': 'sha256', // dsa-with-SHA1
  '2.16.840.1.101.3.4.3.1': 'sha224',
  '2.16.840.1.101.3.4.3.2': 'sha256',
}

const rsaPss = '1.2.840.113549.1.1.10'
const pssHashes: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha256', // SHA-1
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/** Certificate ::= SEQUENCE { tbs, SEQUENCE { algorithm, parameters }, signature }. */
function signatureHash(certificate: Buffer): string | null {
  const outer = element(certificate)
  const tbs = outer === null ? null : element(outer.content)
  const algorithm = tbs === null ? null : element(tbs.rest)
  const identifier = algorithm === null ? null : element(algorithm.content)
  if (identifier === null || identifier.tag !== tags.objectIdentifier) return null
  const name = dotted(identifier.content)
  return name === rsaPss ? pssHash(identifier.rest) : (signatureHashes[name] ?? null)
}

/** RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm DEFAULT sha1, … } (RFC 8017, A.2.3). */
function pssHash(parameters: Buffer): string | null {
  const sequence = element(parameters)
  if (sequence === null) return null
  const first = element(sequence.content)
  if (first === null || first.tag !== tags.context0) return 'sha256'
  const algorithm = element(first.content)
  const identifier = algorithm === null ? null : element(algorithm.content)
  return identifier === null ? null : (pssHashes[dotted(identifier.content)] ?? null)
}

const tags = { objectIdentifier: 0x06, context0: 0xa0 } as const

interface Element {
  readonly tag: number
  readonly content: Buffer
  /** What follows it. */
  readonly rest: Buffer
}

/** The first DER element; null when it is cut short. */
function element(bytes: Buffer): Element | null {
  const [tag, first] = bytes
  if (tag === undefined || first === undefined) return null
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  if (lengthBytes > 4 || bytes.length < 2 + lengthBytes) return null
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(2, lengthBytes)
  const start = 2 + lengthBytes
  if (first === 0x80 || bytes.length < start + length) return null
  return {
    tag,
    content: bytes.subarray(start, start + length),
    rest: bytes.subarray(start + length),
  }
}

function dotted(identifier: Buffer): string {
  const [first = 0, ...others] = identifier
  // The first byte holds two arcs; the first of them is at most 2.
  const arcs = [Math.min(2, Math.floor(first / 40))]
  arcs.push(first - 40 * (arcs[0] ?? 0))
  let value = 0
  for (const byte of others) {
    value = value * 128 + (byte & 0x7f)
    if (byte >= 0x80) continue
    arcs.push(value)
    value = 0
  }
  return arcs.join('.')
}
