/** A server that shuts down amid a login: whoever was to log in is told, and nothing else happens. */
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, Socket } from 'node:net'
import tap from 'tap'
import { login } from '../../../src/net/pg/login.ts'
import { ScramKeyCache } from '../../../src/net/pg/scram-keys.ts'
import { deriveKeys } from '../../../src/net/pg/scram.ts'
import { listenLocally } from '../../support/listen.ts'
import { authenticationSasl, errorResponse } from '../../support/pg-backend.ts'
import { int32, message } from '../../support/pg-frontend.ts'

await tap.test('a server that ends while the proof is made', async (t) => {
  const salt = Buffer.from('0123456789abcdef')
  const keys = await deriveKeys('secret', salt, 4_096)
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(authenticationSasl('SCRAM-SHA-256'))
      socket.once('data', (first: Buffer) => {
        const nonce = /r=(.*)$/.exec(first.toString('latin1'))?.[1] ?? ''
        const text = Buffer.from(`r=${nonce}more,s=${salt.toString('base64')},i=4096`)
        socket.write(message('R', int32(11), text))
        socket.end(errorResponse('57P01', 'terminating connection', 'FATAL'))
      })
    })
  })
  const port = await listenLocally(server)
  t.teardown(() => server.close())
  const opened = new Promise<Socket>((resolve) => {
    subscribe('net.client.socket', (made) => {
      if (typeof made !== 'object' || made === null || !('socket' in made)) return
      if (made.socket instanceof Socket) resolve(made.socket)
    })
  })
  const cache = new ScramKeyCache(async () => {
    await once(await opened, 'end')
    return keys
  })
  const refused = login({
    endpoint: { host: '127.0.0.1', port },
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'disable', options: {} },
    parameters: new Map([['user', 'app']]),
    password: 'secret',
    timeoutMs: 30_000,
    keys: cache,
  })
  await t.rejects(refused, { code: 'SERVER_UNAVAILABLE' })
  // What an error that nobody hears would end the process with comes before this.
  await new Promise((resolve) => setImmediate(resolve))
})
