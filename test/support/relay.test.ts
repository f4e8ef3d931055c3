/** The relay between a plain socket and an echo server: each fault does what it says. */
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import tap from 'tap'
import type { Test } from 'tap'
import { listenLocally } from './listen.ts'
import { startRelay } from './relay.ts'
import type { Relay } from './relay.ts'

const chunks: Buffer[] = []
const echo = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('data', (bytes: Buffer) => {
    chunks.push(bytes)
    socket.write(bytes)
  })
  socket.on('end', () => socket.end())
  socket.on('error', () => undefined)
})
const echoPort = await listenLocally(echo)
tap.teardown(() => echo.close())

interface Peer {
  readonly socket: Socket
  readonly received: () => string
  readonly closed: Promise<string>
}

async function withRelay(t: Test): Promise<Relay> {
  const relay = await startRelay({ to: { host: '127.0.0.1', port: echoPort } })
  t.teardown(() => relay.close())
  chunks.length = 0
  return relay
}

function dial(relay: Relay): Peer {
  const socket = connect({ host: relay.host, port: relay.port, noDelay: true })
  let text = ''
  socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
  const closed = new Promise<string>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.once('close', () => resolve('closed'))
  })
  return { socket, received: () => text, closed }
}

async function until(condition: () => boolean, deadlineMs = 30_000): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('deadline passed')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

await tap.test('passes bytes and the end of the stream unchanged', async (t) => {
  const relay = await withRelay(t)
  const peer = dial(relay)
  const text = 'x'.repeat(1_000_000)
  peer.socket.end(text)
  t.equal(await peer.closed, 'closed')
  t.equal(peer.received().length, text.length)
  t.same(relay.bytes, { up: text.length, down: text.length })
  await until(() => relay.connections === 0)
})

await tap.test('delays each direction', async (t) => {
  const relay = await withRelay(t)
  relay.delay(60)
  const peer = dial(relay)
  const startMs = performance.now()
  peer.socket.write('hello')
  await until(() => peer.received() === 'hello')
  t.ok(performance.now() - startMs >= 120)
})

await tap.test('cut resets both ends', async (t) => {
  const relay = await withRelay(t)
  const peer = dial(relay)
  peer.socket.write('a')
  await until(() => peer.received() === 'a')
  t.equal(relay.cut(), 1)
  t.equal(await peer.closed, 'ECONNRESET')
  t.equal(relay.connections, 0)
})

await tap.test('stalls one direction and loses nothing', async (t) => {
  const relay = await withRelay(t)
  const peer = dial(relay)
  relay.stall('down')
  peer.socket.write('a')
  await until(() => Buffer.concat(chunks).toString() === 'a')
  peer.socket.write('b')
  await until(() => Buffer.concat(chunks).toString() === 'ab')
  t.equal(peer.received(), '')
  relay.resume('down')
  await until(() => peer.received() === 'ab')
})

await tap.test('refuses new connections and keeps the old', async (t) => {
  const relay = await withRelay(t)
  const old = dial(relay)
  old.socket.write('a')
  await until(() => old.received() === 'a')
  relay.refuse()
  t.match(await dial(relay).closed, /ECONNRESET|closed/)
  old.socket.write('b')
  await until(() => old.received() === 'ab')
  relay.heal()
  const fresh = dial(relay)
  fresh.socket.write('c')
  await until(() => fresh.received() === 'c')
  t.equal(relay.accepted, 3)
})

await tap.test('drops what follows an offset', async (t) => {
  const relay = await withRelay(t)
  relay.dropAfterBytes(3, 'up')
  const peer = dial(relay)
  peer.socket.end('abcdef')
  t.equal(await peer.closed, 'closed')
  t.equal(peer.received(), 'abc')
})

await tap.test('corrupts exactly one byte, counted from when it was asked for', async (t) => {
  const relay = await withRelay(t)
  const peer = dial(relay)
  peer.socket.write('ab')
  await until(() => peer.received() === 'ab')
  relay.corruptByteAt(1, 'up')
  peer.socket.end('\0\0\0')
  t.equal(await peer.closed, 'closed')
  t.equal(peer.received(), 'ab\0\xff\0')
})

await tap.test('cuts in the middle of a stream', async (t) => {
  const relay = await withRelay(t)
  relay.cutAfterBytes(2, 'down')
  const peer = dial(relay)
  peer.socket.write('abcdef')
  // libuv reports a reset right behind data as an ordinary end, so either is right here.
  t.match(await peer.closed, /ECONNRESET|closed/)
  t.ok(peer.received().length <= 2)
  t.equal(relay.bytes.down, 2)
})

await tap.test('splits into single bytes in order', async (t) => {
  const relay = await withRelay(t)
  relay.splitEvery(1, 'up')
  const peer = dial(relay)
  const text = 'the quick brown fox jumps over the lazy dog'
  peer.socket.end(text)
  t.equal(await peer.closed, 'closed')
  t.equal(peer.received(), text)
  t.ok(chunks.length > 1, `arrived in ${chunks.length} pieces`)
})

await tap.test('a destination that is not there resets the client', async (t) => {
  const unused = createServer()
  const port = await listenLocally(unused)
  await new Promise((resolve) => unused.close(resolve))
  const relay = await startRelay({ to: { host: '127.0.0.1', port } })
  t.teardown(() => relay.close())
  t.match(await dial(relay).closed, /ECONNRESET|closed/)
})
