/**
 * Values of half a gigabyte through a sidecar in a process of its own: the bytes are the server's,
 * and the peak of the process's memory stays far below one value. Neighbour: large.test.ts.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startPontoon } from '../../control/sidecar.ts'
import { freePort } from '../../support/free-port.ts'
import { execute, int16, int32, parse, query, sync, text } from '../../support/pg-frontend.ts'
import { rowValues } from '../../support/pg-wire.ts'
import { rawClient, until } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const grownMiBMax = 64

/** About 64 KB that do not repeat, many times over. */
const blockRows = 2_003
const block = Array.from({ length: blockRows }, (_, index) =>
  createHash('md5')
    .update(String(index + 1))
    .digest('hex'),
).join('')

/** Half a gigabyte once; a fifth of it is far beyond any buffer too, and quicker. */
const sizes = {
  half: { blocks: 8_180, name: '524 MB' },
  fifth: { blocks: 1_636, name: '105 MB' },
} as const

const valueOf = (blocks: number): string => `SELECT repeat(
  (SELECT string_agg(md5(n::text), '' ORDER BY n) FROM generate_series(1, ${blockRows}) n),
  ${blocks})`

const server = await startPostgres({ major: 15, auth: 'trust' })
const ports = { session: await freePort(), transaction: await freePort() }
/** The target of both services; no read goes there. */
const nowhere = await freePort()
const service = (mode: keyof typeof ports): string => `
  ${mode}:
    protocol: postgres
    listen: 127.0.0.1:${ports[mode]}
    clientAuth: { mode: trust }
    pool: { mode: ${mode}, size: 2 }
    source: { host: 127.0.0.1, port: ${server.port}, tls: { mode: disable } }
    target: { host: 127.0.0.1, port: ${nowhere}, tls: { mode: disable } }`
const folder = t.testdir({})
const configFile = join(folder, 'database.yml')
writeFileSync(
  configFile,
  `admin: { listen: 127.0.0.1:${await freePort()} }
state: { file: ./state }
services:${service('session')}${service('transaction')}
`,
)
const sidecar = await startPontoon(['serve', '--config', configFile])
let log = ''
sidecar.process.stderr?.on('data', (bytes: Buffer) => {
  log += bytes.toString()
})
sidecar.process.stdout?.resume()
t.teardown(async () => {
  if (sidecar.isRunning()) process.kill(sidecar.pid, 'SIGTERM')
  await sidecar.exited
  await server.stop()
})
for (const port of Object.values(ports)) {
  await until(
    async () => {
      if (!sidecar.isRunning()) throw new Error(`the sidecar has ended: ${log}`)
      const client = await rawClient(port).catch(() => null)
      client?.wire.destroy()
      return client !== null
    },
    'the sidecar to listen',
    30_000,
  )
}

/** The most that the process has held since the last reset. */
function peakMiB(): number {
  const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${sidecar.pid}/status`, 'utf8'))
  return Number(found?.[1]) / 1024
}

const resetPeak = (): void => writeFileSync(`/proc/${sidecar.pid}/clear_refs`, '5')

/** Length and digest of all that a query is answered, without keeping it. */
async function digest(port: number, sql: string): Promise<{ bytes: number; sha1: string }> {
  const { wire } = await rawClient(port)
  const hash = createHash('sha1')
  let bytes = 0
  let tail: Buffer = Buffer.alloc(0)
  wire.socket.removeAllListeners('data')
  const over = new Promise<void>((resolve, reject) => {
    wire.socket.once('close', () => reject(new Error(`closed after ${bytes} bytes`)))
    wire.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      hash.update(chunk)
      tail = Buffer.concat([tail, chunk.subarray(-6)]).subarray(-6)
      if (tail.equals(Buffer.from('Z\0\0\0\x05I', 'latin1'))) resolve()
    })
  })
  await wire.send(query(sql))
  await over
  wire.destroy()
  return { bytes, sha1: hash.digest('hex') }
}

for (const [mode, size] of [
  ['session', sizes.half],
  ['transaction', sizes.fifth],
] as const) {
  await t.test(`${mode} mode: a row of ${size.name}`, async (test) => {
    const sql = valueOf(size.blocks)
    const direct = await digest(server.port, sql)
    test.ok(direct.bytes > block.length * size.blocks)
    resetPeak()
    const before = peakMiB()
    test.strictSame(await digest(ports[mode], sql), direct, "the server's own bytes")
    const grown = peakMiB() - before
    test.ok(grown < grownMiBMax, `${grown.toFixed(1)} MiB more than before`)
  })

  await t.test(`${mode} mode: a parameter of ${sizes.fifth.name}`, async (test) => {
    const { blocks } = sizes.fifth
    const { wire } = await rawClient(ports[mode])
    resetPeak()
    const before = peakMiB()
    await wire.send(parse('SELECT length($1), md5($1)'), bindHeader(block.length * blocks))
    const bytes = Buffer.from(block)
    const md5 = createHash('md5')
    for (let count = 0; count < blocks; count += 1) {
      await wire.send(bytes)
      md5.update(bytes)
    }
    await wire.send(int16(0), execute(), sync())
    const row = (await wire.until('Z', 60_000)).find(({ type }) => type === 'D')
    test.strictSame(row && rowValues(row), [String(block.length * blocks), md5.digest('hex')])
    const grown = peakMiB() - before
    test.ok(grown < grownMiBMax, `${grown.toFixed(1)} MiB more than before`)
    wire.destroy()
  })
}

/** A Bind up to its only value, whose bytes and the count of result formats are to follow. */
function bindHeader(valueBytes: number): Buffer {
  const names = Buffer.concat([text(''), text(''), int16(0), int16(1)])
  const length = 4 + names.length + 4 + valueBytes + 2
  return Buffer.concat([Buffer.from('B'), int32(length), names, int32(valueBytes)])
}
