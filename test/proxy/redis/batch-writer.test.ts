/** What is joined into writes arrives as it was appended, also by a server that reads late. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { dial } from '../../../src/net/dial.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { Transport, type TransportHandler } from '../../../src/net/transport.ts'
import { BatchWriter } from '../../../src/proxy/redis/batch-writer.ts'
import { until } from '../../support/until.ts'

const silent: TransportHandler = {
  onBytes: () => undefined,
  onCongested: () => undefined,
  onDrained: () => undefined,
  onClosed: () => undefined,
}

await t.test('a slab is used again only when its bytes have gone', async (test) => {
  const server = createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const accepted = once(server, 'connection')
  const { socket } = await dial({ host: '127.0.0.1', port }, 5_000)
  const [reader]: Socket[] = await accepted
  if (reader === undefined) throw new Error('nobody came')
  test.teardown(() => {
    reader.destroy()
    socket.destroy()
    server.close()
  })
  const transport = new Transport(socket, new FlushQueue(), silent).startReading()
  const batch = new BatchWriter(transport)
  const parts: Buffer[] = []
  const append = (bytes: number): void => {
    const part = Buffer.alloc(bytes, parts.length % 251)
    parts.push(part)
    // What it is copied from is another client's in a moment.
    const passing = Buffer.from(part)
    batch.append(passing, 0, bytes)
    passing.fill(255)
  }
  // Taken at once at first, then more than the kernel takes.
  for (let turn = 0; turn < 400; turn += 1) {
    append(turn * 100 + 1)
    append(17)
    await setImmediate()
  }
  test.ok(transport.unwrittenBytes > 0, 'the server does not read')
  const got: Buffer[] = []
  let bytes = 0
  reader.on('data', (chunk: Buffer) => {
    got.push(chunk)
    bytes += chunk.length
  })
  reader.resume()
  for (let turn = 0; turn < 100; turn += 1) {
    append(turn * 300 + 1)
    await setImmediate()
  }
  const expected = Buffer.concat(parts)
  await until(() => bytes === expected.length, 'all of it has come')
  test.ok(Buffer.concat(got).equals(expected))
})
