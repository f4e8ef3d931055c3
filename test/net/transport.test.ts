/** Bytes through real sockets, with raw handles and without: order, back-pressure, ends. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { BareSocket } from '../../src/net/bare-socket.ts'
import type { Carrier } from '../../src/net/carrier.ts'
import { FlushQueue } from '../../src/net/flush-queue.ts'
import { RawHandle } from '../../src/net/raw-handle.ts'
import { Transport, type TransportHandler } from '../../src/net/transport.ts'
import { until } from '../support/pontoon.ts'

type Kind = 'bare sockets' | 'raw handles' | 'streams'

class Recorder implements TransportHandler {
  readonly #hash = createHash('sha256')
  bytes = 0
  congested = 0
  drained = 0
  closed = 0
  error: Error | null = null

  onBytes(bytes: Buffer, end: number): void {
    this.bytes += end
    this.#hash.update(bytes.subarray(0, end))
  }
  onCongested(): void {
    this.congested += 1
  }
  onDrained(): void {
    this.drained += 1
  }
  onClosed(error: Error | null): void {
    this.closed += 1
    this.error = error
  }
  digest(): string {
    return this.#hash.digest('hex')
  }
}

interface Pair {
  readonly transport: Transport
  readonly handler: Recorder
  readonly peer: Socket
}

async function pairOf(kind: Kind, test: Test): Promise<Pair> {
  const server = createServer({ pauseOnConnect: false })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const peer = connect({ port, host: '127.0.0.1' })
  const accepted = await new Promise<Carrier>((resolve) => {
    if (kind !== 'bare sockets') server.once('connection', resolve)
    else RawHandle.acceptFrom(server, (bare) => resolve(new BareSocket(bare)))
  })
  test.teardown(() => {
    peer.destroy()
    accepted.destroy()
    server.close()
  })
  if (peer.connecting) await once(peer, 'connect')
  const handler = new Recorder()
  const flushes = new FlushQueue()
  const transport =
    kind === 'streams'
      ? new Transport(accepted, flushes, handler, null)
      : new Transport(accepted, flushes, handler)
  transport.startReading()
  return { transport, handler, peer }
}

const pieces = Array.from({ length: 4_000 }, (_, index) =>
  Buffer.alloc(1 + ((index * 7_919) % 3_000), index & 0xff),
)
const piecesBytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
const piecesDigest = createHash('sha256').update(Buffer.concat(pieces)).digest('hex')

for (const kind of ['bare sockets', 'raw handles', 'streams'] as const) {
  void t.test(kind, async (whole) => {
    await whole.test('a Node like this one has raw handles', async (test) => {
      const { peer } = await pairOf(kind, test)
      test.not(RawHandle.of(peer), null)
    })

    await whole.test('both ends have addresses while they are there', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      const { socket } = transport
      test.strictSame([socket.remoteAddress, socket.remotePort], ['127.0.0.1', peer.localPort])
      test.strictSame([socket.localAddress, socket.localPort], ['127.0.0.1', peer.remotePort])
      transport.end()
      peer.end()
      peer.resume()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
      test.equal(socket.destroyed, true)
    })

    await whole.test('a peer that closes its half can still be answered', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      let got = ''
      peer.on('data', (bytes: Buffer) => (got += bytes.toString('latin1')))
      let halfClosed = 0
      transport.handler = {
        onBytes: (bytes, end) => handler.onBytes(bytes, end),
        onCongested: () => handler.onCongested(),
        onDrained: () => handler.onDrained(),
        onClosed: (error) => handler.onClosed(error),
        onEnded: () => {
          halfClosed += 1
        },
      }
      peer.end('question')
      await until(() => halfClosed === 1, 'the half is closed', 20_000)
      test.equal(handler.bytes, 8)
      test.equal(handler.closed, 0)
      transport.sendOwned(Buffer.from('answer'))
      transport.end()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
      test.equal(got, 'answer')
      test.equal(handler.error, null)
    })

    await whole.test('what is sent to a slow reader arrives whole and in order', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      peer.pause()
      const transient = Buffer.alloc(3_000)
      for (const piece of pieces) {
        // The same buffer each time: what is sent of it must be copied or gone by the flush.
        piece.copy(transient)
        transport.send(transient, 0, piece.length)
        transport.flush()
      }
      await until(() => handler.congested === 1, 'it is congested', 20_000)
      test.equal(handler.drained, 0)
      const hash = createHash('sha256')
      let got = 0
      peer.on('data', (bytes: Buffer) => {
        got += bytes.length
        hash.update(bytes)
      })
      peer.resume()
      await until(() => got === piecesBytes, 'all pieces came', 20_000)
      test.equal(hash.digest('hex'), piecesDigest)
      await until(() => handler.drained === 1, 'it has drained', 20_000)
    })

    await whole.test('parts of one flush stay in order', async (test) => {
      const { transport, peer } = await pairOf(kind, test)
      transport.send(Buffer.from('xab'), 1, 3)
      transport.sendOwned(Buffer.from('cd'))
      transport.send(Buffer.from('efx'), 0, 2)
      transport.sendOwned(Buffer.alloc(100_000, 'g'))
      transport.end()
      let got = ''
      peer.on('data', (bytes: Buffer) => (got += bytes.toString('latin1')))
      await once(peer, 'end')
      test.equal(got, `abcdef${'g'.repeat(100_000)}`)
    })

    await whole.test('what waits for the end of a turn stays in order', async (test) => {
      const { transport, peer } = await pairOf(kind, test)
      transport.waitsForTurns = true
      const hash = createHash('sha256')
      let got = 0
      peer.on('data', (bytes: Buffer) => {
        got += bytes.length
        hash.update(bytes)
      })
      // Short ones are copied, long ones leave with the event, and some belong to nobody else.
      const transient = Buffer.alloc(3_000)
      for (const [index, piece] of pieces.entries()) {
        const part = index % 3 === 0 ? piece : piece.subarray(0, 1 + (piece.length >> 4))
        part.copy(transient)
        if (index % 7 === 0) transport.sendOwned(Buffer.from(part))
        else transport.send(transient, 0, part.length)
        // The event ends: a long one is gone before the buffer is used again.
        if (part.length > 1_024) transport.flush()
        if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      transport.send(Buffer.from('last'), 0, 4)
      transport.end()
      const expected = createHash('sha256')
      for (const [index, piece] of pieces.entries())
        expected.update(index % 3 === 0 ? piece : piece.subarray(0, 1 + (piece.length >> 4)))
      await once(peer, 'end')
      test.equal(hash.digest('hex'), expected.update('last').digest('hex'), `of ${got} bytes`)
    })

    await whole.test('an end waits for what is not written yet', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      peer.pause()
      for (let index = 0; index < 300; index += 1) transport.sendOwned(Buffer.alloc(64 * 1024, 'x'))
      transport.flush()
      transport.sendOwned(Buffer.from('last words'))
      transport.end()
      let got = 0
      let last = ''
      peer.on('data', (bytes: Buffer) => {
        got += bytes.length
        last = (last + bytes.toString('latin1')).slice(-10)
      })
      peer.resume()
      await once(peer, 'end')
      test.equal(got, 300 * 64 * 1024 + 10)
      test.equal(last, 'last words')
      peer.end()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
      test.equal(handler.error, null)
    })

    await whole.test('an end waits for a slow reader as long as it reads', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      peer.pause()
      const total = 24 * 1024 * 1024
      for (let sent = 0; sent < total; sent += 64 * 1024) transport.sendOwned(Buffer.alloc(65_536))
      // Less than it takes to read it all, far more than the reader rests.
      transport.end(1_500)
      test.notOk(transport.isOpen)
      let got = 0
      let gotAtOnce = 0
      peer.on('data', (bytes: Buffer) => {
        got += bytes.length
        gotAtOnce += bytes.length
        if (gotAtOnce > 1024 * 1024) peer.pause()
      })
      const reading = setInterval(() => {
        gotAtOnce = 0
        peer.resume()
      }, 100)
      test.teardown(() => clearInterval(reading))
      await until(() => got === total, 'all is read', 60_000)
      peer.end()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
    })

    await whole.test('an end does not wait for one that reads nothing', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      peer.pause()
      transport.sendOwned(Buffer.alloc(24 * 1024 * 1024))
      transport.end(50)
      await until(() => handler.closed === 1, 'it is cut', 20_000)
    })

    await whole.test('it is not open from the end of the peer on', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      test.ok(transport.isOpen)
      let wasOpen: boolean | null = null
      transport.socket.on('end', () => {
        wasOpen = transport.isOpen
      })
      peer.end()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
      test.equal(wasOpen, false, 'before the close is told')
    })

    await whole.test('a paused transport reads nothing until it is resumed', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      peer.write('before')
      await until(() => handler.bytes === 6, 'the first bytes came', 20_000)
      transport.pauseReading()
      await new Promise((resolve) => setImmediate(resolve))
      const sent = Buffer.alloc(20 * 1024 * 1024, 'y')
      peer.write(sent)
      await until(() => peer.writableLength > 0, 'the peer is held up', 20_000)
      const readWhilePaused = handler.bytes
      // Streams hold what their event had read already.
      test.ok(readWhilePaused <= 6 + 64 * 1024, `${readWhilePaused} bytes were read`)
      transport.resumeReading()
      await until(() => handler.bytes === 6 + sent.length, 'all bytes came', 20_000)
      peer.end()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
      const expected = createHash('sha256').update('before').update(sent).digest('hex')
      test.equal(handler.digest(), expected)
    })

    await whole.test('a peer that vanishes is told once, whatever is under way', async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      peer.pause()
      for (let index = 0; index < 300; index += 1) transport.sendOwned(Buffer.alloc(64 * 1024, 'x'))
      transport.flush()
      await until(() => handler.congested === 1, 'it is congested', 20_000)
      peer.resetAndDestroy()
      await until(() => handler.closed === 1, 'it is closed', 20_000)
      test.ok(handler.error instanceof Error)
      test.equal(transport.isClosed, true)
      transport.sendOwned(Buffer.from('into the void'))
      transport.flush()
      transport.end()
      await new Promise((resolve) => setImmediate(resolve))
      test.equal(handler.closed, 1)
    })
  })
}

for (const kind of ['bare sockets', 'raw handles'] as const)
  void t.test(
    `${kind}: the last words of a peer that takes nothing any more are heard`,
    async (test) => {
      const { transport, handler, peer } = await pairOf(kind, test)
      // All at once, so that nothing is read before a write has failed.
      peer.write('last words')
      peer.destroy()
      for (let count = 0; count < 2; count += 1) {
        transport.sendOwned(Buffer.from('too late'))
        transport.flush()
      }
      test.notOk(transport.isOpen, 'a write has failed')
      await until(() => handler.closed > 0, 'it is closed')
      test.equal(handler.bytes, 10)
      test.match(handler.error, { code: 'EPIPE' })
    },
  )
