import t from 'tap'
// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs the polyfill
import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import { cryptoProvider, X509CertificateGenerator } from '@peculiar/x509'
import { chooseMechanism, endPointHash } from '../../../src/net/pg/channel-binding.ts'

cryptoProvider.set(webcrypto)

interface SignatureAlgorithm extends webcrypto.Algorithm {
  readonly namedCurve?: string
  readonly hash?: string
}

async function certificate(algorithm: SignatureAlgorithm): Promise<Buffer> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  if (!('privateKey' in keys)) throw new Error(`${algorithm.name} makes no pair of keys`)
  const made = await X509CertificateGenerator.createSelfSigned(
    { name: 'CN=db', keys, signingAlgorithm: algorithm },
    webcrypto,
  )
  return Buffer.from(made.rawData)
}

const rsa = { modulusLength: 2_048, publicExponent: new Uint8Array([1, 0, 1]) }

void t.test('the certificate is hashed by the hash of its signature', async (test) => {
  const cases = [
    [{ name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }, 'sha256'],
    [{ name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }, 'sha384'],
    [{ name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' }, 'sha512'],
    [{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-1', ...rsa }, 'sha256'],
    [{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', ...rsa }, 'sha256'],
    [{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-512', ...rsa }, 'sha512'],
    [{ name: 'RSA-PSS', hash: 'SHA-384', saltLength: 48, ...rsa }, 'sha384'],
    [{ name: 'RSA-PSS', hash: 'SHA-1', saltLength: 20, ...rsa }, 'sha256'],
  ] as const
  for (const [algorithm, hash] of cases) {
    const der = await certificate(algorithm)
    const expected = createHash(hash).update(der).digest('hex')
    test.equal(endPointHash(der)?.toString('hex'), expected, JSON.stringify(algorithm.name))
  }
})

void t.test('no binding for a signature without a hash, nor for damaged bytes', async (test) => {
  test.equal(endPointHash(await certificate({ name: 'Ed25519' })), null)
  const der = await certificate({ name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' })
  for (let length = 0; length < der.length; length += 1)
    test.equal(endPointHash(der.subarray(0, length)), null)
  test.equal(endPointHash(Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff])), null)
  test.equal(endPointHash(Buffer.from([0x30, 0x80, 0x00, 0x00])), null)
})

void t.test('chooses as libpq does', async (test) => {
  const der = await certificate({ name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' })
  const ed25519 = await certificate({ name: 'Ed25519' })
  const both = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', '', '']
  const plain = ['SCRAM-SHA-256', '', '']
  const cases = [
    ['prefer', both, der, 'SCRAM-SHA-256-PLUS p=tls-server-end-point'],
    ['require', both, der, 'SCRAM-SHA-256-PLUS p=tls-server-end-point'],
    ['disable', both, der, 'SCRAM-SHA-256 n'],
    ['prefer', plain, der, 'SCRAM-SHA-256 y'],
    ['disable', plain, der, 'SCRAM-SHA-256 n'],
    ['prefer', plain, null, 'SCRAM-SHA-256 n'],
    // A forged offer without TLS must not be believed.
    ['prefer', both, null, 'SCRAM-SHA-256 n'],
    ['prefer', both, ed25519, 'SCRAM-SHA-256 n'],
  ] as const
  for (const [mode, offered, shown, expected] of cases) {
    const { mechanism, gs2, data } = chooseMechanism(mode, offered, shown, 'db:5432')
    test.equal(`${mechanism} ${gs2}`, expected)
    test.equal(data.length, mechanism.endsWith('PLUS') ? 32 : 0)
  }
  const refusals = [
    [plain, der, /does not offer SCRAM-SHA-256-PLUS/],
    [both, null, /without TLS/],
    [both, ed25519, /signature defines no binding/],
  ] as const
  for (const [offered, shown, words] of refusals) {
    test.throws(() => chooseMechanism('require', offered, shown, 'db:5432'), {
      code: 'SERVER_AUTH_UNSUPPORTED',
      message: words,
    })
  }
  test.throws(() => chooseMechanism('prefer', ['GSS-SPNEGO'], der, 'db'), /no SASL mechanism/)
})
