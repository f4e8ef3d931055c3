/**
 * A client that reads a large value slowly through a sidecar in a process of its own, beside others
 * that go on: what the sidecar holds meanwhile, and how long the others wait. Used by a test with a
 * value of some size and by a soak test with the largest that Redis allows.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { startChild, type Child } from './child-processes.ts'
import { freePort } from './free-port.ts'
import type { RedisServer } from './redis.ts'
import { connectRedis } from './redis-wire.ts'
import { until } from './until.ts'

/** Redis itself copies the value first. */
const beginDeadlineMs = 120_000

export interface SlowReaderOptions {
  readonly redis: RedisServer
  /** Where its configuration and state go. */
  readonly folder: string
  /** What Node runs, before `serve`. */
  readonly command: readonly string[]
  readonly valueBytes: number
  /** How much it reads at a time, each time after a rest. */
  readonly stepBytes: number
  readonly restMs: number
}

export interface SlowReaderReport {
  /** Of the value and its frame. */
  readonly receivedBytes: number
  readonly isWhole: boolean
  /** How much the resident memory of the sidecar has grown at most. */
  readonly grownBytes: number
  /** Commands of others meanwhile, and the longest that one of them took. */
  readonly otherCommands: number
  readonly slowestOtherMs: number
}

export async function readSlowly(options: SlowReaderOptions): Promise<SlowReaderReport> {
  const { redis, valueBytes } = options
  await redis.call('SETRANGE', 'huge', valueBytes - 1, 'z')
  const { child, port } = await startSidecar(options)
  const [reader, other] = [await connectRedis({ port }), await connectRedis({ port })]
  try {
    await Promise.all([reader.call('PING'), other.call('PING')])
    const beforeBytes = residentBytes(child)
    const head = `$${valueBytes}\r\n`
    const wholeBytes = head.length + valueBytes + 2
    const received = readInSteps(reader.socket)
    reader.send('GET', 'huge')
    await until(() => received.bytes > 0, 'the value begins to come', beginDeadlineMs)
    let [otherCommands, grownBytes, slowestOtherMs] = [0, 0, 0]
    while (received.bytes < wholeBytes) {
      if (reader.isClosed) throw new Error(`closed after ${received.bytes} bytes`)
      const sentAtMs = performance.now()
      await other.call('INCR', 'others')
      otherCommands += 1
      slowestOtherMs = Math.max(slowestOtherMs, performance.now() - sentAtMs)
      grownBytes = Math.max(grownBytes, residentBytes(child) - beforeBytes)
      await new Promise((resolve) => setTimeout(resolve, options.restMs))
      received.allowedBytes = received.bytes + options.stepBytes
      reader.socket.resume()
    }
    const isWhole = received.bytes === wholeBytes && received.tail.toString() === 'z\r\n'
    return { receivedBytes: received.bytes, isWhole, grownBytes, otherCommands, slowestOtherMs }
  } finally {
    for (const client of [reader, other]) client.destroy()
    process.kill(child.pid, 'SIGKILL')
    await child.exited
  }
}

interface Received {
  bytes: number
  /** How many there may be before it rests again. */
  allowedBytes: number
  tail: Buffer
}

function readInSteps(socket: Socket): Received {
  const received: Received = { bytes: 0, allowedBytes: 0, tail: Buffer.alloc(0) }
  socket.removeAllListeners('data')
  socket.on('data', (chunk: Buffer) => {
    received.bytes += chunk.length
    received.tail = Buffer.concat([received.tail, chunk]).subarray(-3)
    if (received.bytes >= received.allowedBytes) socket.pause()
  })
  return received
}

async function startSidecar({
  redis,
  folder,
  command,
}: SlowReaderOptions): Promise<{ readonly child: Child; readonly port: number }> {
  const port = await freePort()
  const file = join(folder, 'database.yml')
  writeFileSync(
    file,
    `state: { file: ./state }
admin: { listen: 127.0.0.1:${await freePort()} }
services:
  cache:
    protocol: redis
    listen: 127.0.0.1:${port}
    clientAuth: { mode: trust }
    source: { host: 127.0.0.1, port: ${redis.port} }
    target: { host: 127.0.0.1, port: ${await freePort()} }
`,
  )
  const child = await startChild(process.execPath, [...command, 'serve', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [child.process.stdout, child.process.stderr])
    stream?.on('data', (bytes: Buffer) => (log += bytes.toString()))
  const isListening = async (): Promise<boolean> => {
    if (!child.isRunning()) throw new Error(`the sidecar has ended: ${log}`)
    const client = await connectRedis({ port }).catch(() => null)
    client?.destroy()
    return client !== null
  }
  await until(isListening, 'the sidecar listens', 30_000)
  return { child, port }
}

function residentBytes({ pid }: Child): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}
