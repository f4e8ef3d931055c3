/** Large messages stream through: memory stays bounded, and who is slow holds up nobody else. */
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { limitHits } from '../../../src/proxy/limit-hits.ts'
import { bind, copyData, copyDone, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE filled (n int, pad text)')

const mebibyte = 1024 * 1024

/** What buffers hold at present, in MiB; they are swept some time after a collection. */
async function heldMiB(): Promise<number> {
  for (let round = 0; round < 3; round += 1) {
    collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return process.memoryUsage().arrayBuffers / mebibyte
}

/** Reads the answer of one query without keeping it, pausing now and then to see what is held. */
async function drain({ wire }: RawClient): Promise<{ bytes: number; heldMiB: number }> {
  const { socket } = wire
  socket.removeAllListeners('data')
  const readyForQuery = Buffer.from('Z\0\0\0\x05I', 'latin1')
  let [bytes, held, nextPause] = [0, 0, mebibyte]
  let tail: Buffer = Buffer.alloc(0)
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      tail = Buffer.concat([tail, chunk]).subarray(-6)
      if (tail.equals(readyForQuery)) resolve()
      if (bytes < nextPause) return
      nextPause += 10 * mebibyte
      socket.pause()
      void (async () => {
        held = Math.max(held, await heldMiB())
        socket.resume()
      })()
    })
    socket.resume()
  })
  return { bytes, heldMiB: held }
}

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode`, async (test) => {
    const pontoon = await startPontoon({ source: server, mode, pool: { size: 3 } })
    test.teardown(() => pontoon.stop())

    await test.test('a row of 50 MB is streamed, not held', async (part) => {
      const client = await pontoon.client()
      const before = await heldMiB()
      await client.wire.send(query(`SELECT repeat('x', ${50 * mebibyte})`))
      const drained = await drain(client)
      part.ok(drained.bytes > 50 * mebibyte)
      const grownMiB = drained.heldMiB - before
      part.ok(grownMiB < 8, `${grownMiB.toFixed(1)} MiB more than before`)
      client.wire.destroy()
    })

    await test.test('a Bind with 20 MB', async (part) => {
      const client = await pontoon.client()
      const pad = 'ä'.repeat(10 * mebibyte)
      const large = bind({ values: [pad] })
      await client.wire.send(parse('SELECT length($1), md5($1)'), large, execute(), sync())
      const answer = await client.wire.until('Z')
      part.equal(summary(answer), '12DCZ')
      const md5 = createHash('md5').update(pad).digest('hex')
      part.ok(answer[2]?.body.includes(md5), 'as it was sent')
      // Named, and not at the start of its batch.
      await client.wire.send(parse('SELECT length($1)', 'n'), sync())
      await client.wire.until('Z')
      const named = bind({ statement: 'n', values: [pad] })
      await client.wire.send(parse('SELECT 1'), bind(), execute(), named, execute(), sync())
      part.equal(summary(await client.wire.until('Z')), '12DC2DCZ')
      client.wire.destroy()
    })

    await test.test('a simple query and a Parse of 2 MB', async (part) => {
      const client = await pontoon.client()
      const long = `SELECT length('${'y'.repeat(2 * mebibyte)}')`
      part.equal(await value(client, long), String(2 * mebibyte))
      part.equal(await value(client, 'SELECT 2'), '2')
      await client.wire.send(parse(long, 'long'), bind({ statement: 'long' }), execute(), sync())
      part.equal(summary(await client.wire.until('Z')), '12DCZ')
      await client.wire.send(parse('SELECT 1'), sync(), parse(long), bind(), execute(), sync())
      part.equal(summary(await client.wire.until('Z')), '1Z')
      const last = await client.wire.until('Z')
      part.equal(summary(last), '12DCZ')
      part.ok(last[2]?.body.includes(String(2 * mebibyte)), 'the long one ran')
      client.wire.destroy()
    })

    await test.test('20 MB by COPY, in and out', async (part) => {
      const client = await pontoon.client()
      await rows(client, 'TRUNCATE filled')
      await client.wire.send(query('COPY filled FROM STDIN'))
      await client.wire.until('G')
      const line = copyData(`1\t${'z'.repeat(1_000)}\n`.repeat(100))
      for (let count = 0; count < 200; count += 1) await client.wire.send(line)
      await client.wire.send(copyDone())
      part.equal(summary(await client.wire.until('Z')), 'CZ')
      part.equal(await value(client, 'SELECT count(*) FROM filled'), '20000')
      await client.wire.send(query('COPY filled TO STDOUT'))
      const drained = await drain(client)
      part.ok(drained.bytes > 20_000 * 1_000)
      client.wire.destroy()
    })
    await pontoon.untilIdle()
  })
}

void t.test('a slow reader is closed after slowReaderMs while others go on', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 2 } })
  test.teardown(() => pontoon.stop())
  const [slow, other] = [await pontoon.client(), await pontoon.client()]
  slow.wire.socket.pause()
  await slow.wire.send(query(`SELECT repeat('x', ${30 * mebibyte})`))
  await until(() => pontoon.busyServers() === 1, 'the query to run')
  const isClosed = (): boolean => pontoon.service.stats.ownErrors.get('CLIENT_SLOW_READER') === 1
  for (let others = 0; others < 10; others += 1)
    test.equal(await value(other, 'SELECT 1'), '1', 'of another client meanwhile')
  test.notOk(isClosed())
  pontoon.tighten({ limits: { slowReaderMs: 300 } })
  await until(isClosed, 'the slow reader to be closed', 10_000)
  await pontoon.untilIdle()
  slow.wire.destroy()
})

void t.test('a client that asks and never reads holds a bounded amount', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 2 } })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  client.wire.socket.pause()
  const ask60Kb = query("SELECT repeat('x', 60000)")
  const before = await heldMiB()
  let sent = 0
  const sending = (async () => {
    for (; sent < 1_000; sent += 1) {
      await client.wire.send(ask60Kb)
      // So that the one before is answered: each is a request of its own.
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  })()
  await until(() => sent >= 500, 'half of the queries', 10_000)
  // What the kernel holds for both sockets is not ours.
  const grownMiB = (await heldMiB()) - before
  test.ok(grownMiB < 8, `${grownMiB.toFixed(1)} MiB more than before`)
  client.wire.socket.resume()
  await sending
  let ready = 0
  while (ready < 1_000) {
    await client.wire.until('Z')
    ready += 1
  }
  test.equal(ready, 1_000, 'they go on when it reads')
  client.wire.destroy()
  await pontoon.untilIdle()
})

void t.test('much in both directions at once does not stop', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 2 } })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  // Neither side can take all before the other is read.
  const echo = Buffer.concat([
    bind({ statement: 'echo', values: ['e'.repeat(200_000)] }),
    execute(),
    sync(),
  ])
  const count = 100
  await client.wire.send(parse('SELECT $1::text', 'echo'), sync())
  await client.wire.until('Z')
  const sending = (async () => {
    for (let sent = 0; sent < count; sent += 1) await client.wire.send(echo)
  })()
  for (let received = 0; received < count; received += 1) {
    const answer = await client.wire.until('Z', 30_000)
    if (answer[1]?.body.length !== 200_006) test.fail(`answer ${received}: ${summary(answer)}`)
  }
  await sending
  test.pass('20 MB each way')
  client.wire.destroy()
  await pontoon.untilIdle()
})

void t.test('messages with a length that cannot be', async (test) => {
  const limits = { messageBytesMax: mebibyte }
  for (const mode of ['session', 'transaction'] as const) {
    const pontoon = await startPontoon({ source: server, mode, config: { limits } })
    test.teardown(() => pontoon.stop())
    const lengths = { negative: -1, zero: 0, three: 3, huge: 0x7fff_ffff, tooLong: mebibyte + 1 }
    for (const [name, length] of Object.entries(lengths)) {
      const client = await pontoon.client()
      await ask(client, 'BEGIN')
      const header = Buffer.alloc(5)
      header.write('Q')
      header.writeInt32BE(length, 1)
      await client.wire.send(header, Buffer.alloc(100))
      const answer = await client.wire.until('E')
      test.match(sqlstate(answer), /^(08P01|54000)$/, `${name} in ${mode} mode`)
      await client.wire.closed()
    }
    const hits = limitHits(pontoon.service.stats)
    test.equal(hits.get('limits.messageBytesMax'), 2, 'the two that are too long')
    const client = await pontoon.client()
    await client.wire.send(Buffer.from('?\0\0\0\x04', 'latin1'))
    test.equal(sqlstate(await client.wire.until('E')), '08P01', 'an unknown type')
    await client.wire.closed()
    test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
    await until(() => pontoon.service.snapshot().clients.active === 0, 'idle')
  }
})
