/** Each certificate is used in a real handshake, because that is what judges it. */
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import tap from 'tap'
import { createAuthority } from './certificates.ts'
import type { Authority, Certificate } from './certificates.ts'
import { listenLocally } from './listen.ts'

const authority = await createAuthority()
tap.teardown(() => authority.remove())

/** 'ok', or the code of the error that the client ends with. */
async function handshake(
  certificate: Certificate,
  trusted: Authority,
  client?: Certificate,
): Promise<string> {
  let seen = ''
  const server = createServer({
    cert: certificate.cert,
    key: certificate.key,
    ca: trusted.ca.cert,
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    seen = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : ''
    socket.end('x')
  })
  const port = await listenLocally(server)
  const answer = await new Promise<string>((resolve) => {
    const socket = connect({
      host: 'localhost',
      port,
      ca: trusted.ca.cert,
      ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.once('data', () => resolve(`ok ${seen}`.trim()))
  })
  server.close()
  return answer
}

await tap.test('a server certificate is accepted for localhost', async (t) => {
  t.equal(await handshake(await authority.server(), authority), 'ok')
})

await tap.test('an expired one is refused', async (t) => {
  t.equal(await handshake(await authority.expired(), authority), 'CERT_HAS_EXPIRED')
})

await tap.test('one for another name is refused', async (t) => {
  const other = await authority.server({ names: ['db.example.test'] })
  t.equal(await handshake(other, authority), 'ERR_TLS_CERT_ALTNAME_INVALID')
  t.equal(new X509Certificate(other.cert).checkHost('db.example.test'), 'db.example.test')
})

await tap.test('one of an authority that is not trusted is refused', async (t) => {
  const stranger = await createAuthority('stranger')
  t.teardown(() => stranger.remove())
  t.match(await handshake(await authority.server(), stranger), /UNABLE_TO_VERIFY|SELF_SIGNED/)
})

await tap.test('a client certificate proves its common name', async (t) => {
  const client = await authority.client('app')
  t.equal(await handshake(await authority.server(), authority, client), 'ok app')
  t.ok(existsSync(client.certPath) && existsSync(client.keyPath), 'lies in files too')
})
