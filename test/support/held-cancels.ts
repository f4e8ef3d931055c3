/**
 * Stands between Pontoon and a database, passes everything on, and holds cancel requests back until
 * the test lets them go, one by one.
 */
import { createServer, connect } from 'node:net'
import type { Socket } from 'node:net'
import { once } from 'node:events'
import type { Test } from 'tap'
import { listenLocally } from './listen.ts'

const cancelCode = 80_877_102

export interface HeldCancels {
  readonly host: string
  readonly port: number
  /** Requests that have come and are held. */
  readonly count: number
  /** Lets the oldest go; settles when the server has taken it. */
  letGo(): Promise<void>
}

export async function holdCancels(
  test: Test,
  to: { readonly host: string; readonly port: number },
): Promise<HeldCancels> {
  const held: { readonly socket: Socket; readonly request: Buffer }[] = []
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
  }
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    keep(socket).once('data', (first: Buffer) => {
      if (first.length >= 8 && first.readInt32BE(4) === cancelCode) {
        held.push({ socket, request: first })
        return
      }
      const onward = keep(connect({ host: to.host, port: to.port, allowHalfOpen: true }))
      onward.write(first)
      socket.pipe(onward).pipe(socket)
    })
  })
  const host = '127.0.0.1'
  const port = await listenLocally(server, 0, host)
  test.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    host,
    port,
    get count() {
      return held.length
    },
    letGo: async () => {
      const first = held.shift()
      if (first === undefined) throw new Error('no cancel request is held')
      const onward = keep(connect({ host: to.host, port: to.port, allowHalfOpen: true }))
      onward.resume().end(first.request)
      await once(onward, 'close')
      first.socket.end()
    },
  }
}
