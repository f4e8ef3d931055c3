/**
 * Certificates for TLS tests and the demo, made here so that no openssl binary is needed: an
 * authority, server certificates (good, expired, for another name) and client certificates, as PEM
 * text and as files in a temporary folder.
 */
// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs the polyfill
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509'
import type { Extension, X509Certificate } from '@peculiar/x509'

/** A certificate with its key; the paths are files with the same text. */
export interface Certificate {
  readonly cert: string
  readonly key: string
  readonly certPath: string
  readonly keyPath: string
}

export interface CertificateOptions {
  /** Common name; a client certificate's is the database user. */
  readonly commonName?: string
  /** DNS names and IP addresses. Default: localhost, 127.0.0.1 and ::1. */
  readonly names?: readonly string[]
  /** Default: one day ago and in one day. */
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** Good for both ends of a connection, as the nodes of a cluster use it among themselves. */
  readonly isForBoth?: boolean
}

export interface Authority {
  readonly ca: Certificate
  readonly folder: string
  server(options?: CertificateOptions): Promise<Certificate>
  client(commonName: string, options?: CertificateOptions): Promise<Certificate>
  /** A server certificate for localhost that ended an hour ago. */
  expired(options?: CertificateOptions): Promise<Certificate>
  /** Removes the folder (the end of the process does too); the PEM text stays usable. */
  remove(): void
}

type KeyPair = webcrypto.CryptoKeyPair

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const hourMs = 3_600_000
const localNames = ['localhost', '127.0.0.1', '::1']

export async function createAuthority(commonName = 'Pontoon test authority'): Promise<Authority> {
  cryptoProvider.set(webcrypto)
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-certificates-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  const keys = await makeKeys()
  const issuer = await X509CertificateGenerator.createSelfSigned(
    {
      name: [{ CN: [commonName] }],
      keys,
      ...validity({}),
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  )
  let made = 0
  const make = async (usage: ExtendedKeyUsage, options: CertificateOptions) => {
    made += 1
    return write(folder, `${made}`, await leaf(issuer, keys, usage, options))
  }
  return {
    ca: write(folder, 'ca', { cert: issuer.toString('pem'), key: await exportKey(keys) }),
    folder,
    server: (options = {}) => make(ExtendedKeyUsage.serverAuth, options),
    client: (name, options = {}) =>
      make(ExtendedKeyUsage.clientAuth, { names: [], ...options, commonName: name }),
    expired: (options = {}) =>
      make(ExtendedKeyUsage.serverAuth, {
        notBefore: new Date(Date.now() - 48 * hourMs),
        notAfter: new Date(Date.now() - hourMs),
        ...options,
      }),
    remove,
  }
}

async function leaf(
  issuer: X509Certificate,
  issuerKeys: KeyPair,
  usage: ExtendedKeyUsage,
  options: CertificateOptions,
): Promise<{ cert: string; key: string }> {
  const names = options.names ?? localNames
  const keys = await makeKeys()
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(
      options.isForBoth === true
        ? [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]
        : [usage],
    ),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
    await AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey),
  ]
  if (names.length > 0) {
    const values = names.map(
      (value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }) as const,
    )
    extensions.push(new SubjectAlternativeNameExtension([...values]))
  }
  const certificate = await X509CertificateGenerator.create(
    {
      subject: [{ CN: [options.commonName ?? names[0] ?? 'nobody'] }],
      issuer: issuer.subjectName.toJSON(),
      publicKey: keys.publicKey,
      signingKey: issuerKeys.privateKey,
      ...validity(options),
      signingAlgorithm: algorithm,
      extensions,
    },
    webcrypto,
  )
  return { cert: certificate.toString('pem'), key: await exportKey(keys) }
}

function validity(options: CertificateOptions): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: options.notBefore ?? new Date(Date.now() - 24 * hourMs),
    notAfter: options.notAfter ?? new Date(Date.now() + 24 * hourMs),
  }
}

function makeKeys(): Promise<KeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function exportKey(keys: KeyPair): Promise<string> {
  const bytes = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return `${PemConverter.encode(bytes, 'PRIVATE KEY')}\n`
}

function write(folder: string, name: string, pem: { cert: string; key: string }): Certificate {
  const certPath = join(folder, `${name}.crt`)
  const keyPath = join(folder, `${name}.key`)
  writeFileSync(certPath, pem.cert)
  writeFileSync(keyPath, pem.key, { mode: 0o600 })
  return { ...pem, certPath, keyPath }
}
