/**
 * What a proxy in Node costs before it does anything: each client gets a server of its own, and
 * bytes are passed on as they come, read and written as Pontoon does it. Nothing is framed, pooled
 * or known of them. Neighbour: relay.ts starts it.
 */
import { connect, createServer, type Socket } from 'node:net'
import { RawHandle } from '../../src/net/raw-handle.ts'
import { readBufferBytes } from '../../src/net/read-buffer.ts'

const [port = '', serverPort = ''] = process.argv.slice(2)

createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
  const server = connect({ host: '127.0.0.1', port: Number(serverPort), noDelay: true })
  endTogether(client, server)
  server.once('connect', () => {
    pass(client, server)
    pass(server, client)
  })
}).listen(Number(port), '127.0.0.1')

function pass(from: Socket, to: Socket): void {
  const reader = rawOf(from)
  const writer = rawOf(to)
  // One a direction: a write that is not through yet keeps it.
  const buffer = Buffer.allocUnsafeSlow(readBufferBytes)
  const written = (error: Error | null): void => {
    if (error !== null) from.destroy()
    else if (!from.destroyed) reader.startReading()
  }
  reader.readInto(buffer, {
    onRead: (end) => {
      const result = writer.write(buffer.subarray(0, end), written)
      if (result === 'later') reader.stopReading()
      else if (result !== null) from.destroy()
    },
  })
  reader.startReading()
}

function rawOf(socket: Socket): RawHandle {
  const raw = RawHandle.of(socket)
  if (raw === null) throw new Error('this Node has no handles below its sockets')
  return raw
}

/** An error of one is seen as the end of the other. */
function endTogether(one: Socket, other: Socket): void {
  for (const [socket, next] of [
    [one, other],
    [other, one],
  ] as const) {
    socket.on('error', () => undefined)
    socket.on('end', () => next.destroy())
    socket.on('close', () => next.destroy())
  }
}
