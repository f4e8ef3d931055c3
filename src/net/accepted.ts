/**
 * Gives an accepted socket the reused read buffer that dialled sockets have. Node offers `onread`
 * to connecting sockets only, so the accepted handle is moved into a socket made by us; that
 * saves an allocation of 64 KiB and a pass through the stream machinery per read (a fifth of our
 * CPU time per query, see docs/benchmarks.md). Where a Node version has no such handle, reads
 * stay 'data' events.
 */
import { Socket, type SocketConstructorOpts } from 'node:net'
import { sharedReadBuffer, type Dialled, type ReadSink } from './dial.ts'

interface StreamHandle {
  useUserBuffer?: unknown
}

interface SocketWithHandle {
  _handle?: StreamHandle | null
}

/** What the Socket constructor takes besides what its types say. */
interface OwnedHandleOptions extends SocketConstructorOpts {
  readonly handle: StreamHandle
  readonly onread: {
    readonly buffer: Buffer
    readonly callback: (end: number, bytes: Buffer) => boolean
  }
}

/** A fresh socket from a 'connection' event; `deliverTo` is null where reads are 'data' events. */
export function adoptAccepted(accepted: Socket): {
  socket: Socket
  deliverTo: Dialled['deliverTo'] | null
} {
  const holder = accepted as unknown as SocketWithHandle
  const handle = holder._handle
  if (handle === null || handle === undefined || typeof handle.useUserBuffer !== 'function') {
    return { socket: accepted, deliverTo: null }
  }
  holder._handle = null
  let sink: ReadSink | null = null
  const options: OwnedHandleOptions = {
    handle,
    readable: true,
    writable: true,
    onread: {
      buffer: sharedReadBuffer,
      callback: (end, bytes) => {
        sink?.receive(bytes, end)
        return true
      },
    },
  }
  const socket = new Socket(options)
  return {
    socket,
    deliverTo: (next) => {
      sink = next
      socket.resume()
      socket.read(0)
    },
  }
}
