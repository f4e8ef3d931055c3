/**
 * A PostgreSQL server that follows a script, for what a real one never or seldom does: expect a
 * message, send bytes, close. Each connection runs the script from its start, or its own script by
 * order. A deviation is kept and thrown by `done()`. Bytes to send: pg-backend.ts.
 */
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { listenLocally } from './listen.ts'
import { commandComplete, dataRow, readyForQuery } from './pg-backend.ts'

export type Step =
  /** A startup packet (or SSLRequest, CancelRequest): answers anything without a type letter. */
  | { readonly kind: 'expectStartup' }
  /** The next message must have this type, and this body when one is given. */
  | { readonly kind: 'expect'; readonly type: string; readonly body?: Buffer }
  | { readonly kind: 'send'; readonly bytes: Buffer }
  | { readonly kind: 'close'; readonly reset?: boolean }
  /** Reads on and says nothing, until the client goes. */
  | { readonly kind: 'silence' }
  | { readonly kind: 'run'; readonly action: () => void | Promise<void> }

export const expectStartup = (): Step => ({ kind: 'expectStartup' })
export const expect = (type: string, body?: Buffer): Step => ({
  kind: 'expect',
  type,
  ...(body === undefined ? {} : { body }),
})
export const send = (...parts: readonly Buffer[]): Step => ({
  kind: 'send',
  bytes: Buffer.concat(parts),
})
export const close = (): Step => ({ kind: 'close' })
export const reset = (): Step => ({ kind: 'close', reset: true })
export const silence = (): Step => ({ kind: 'silence' })
export const run = (action: () => void | Promise<void>): Step => ({ kind: 'run', action })

export interface MockMessage {
  /** Empty for a packet without a type letter. */
  readonly type: string
  readonly body: Buffer
}

const stepDeadlineMs = 10_000

/** One script for every connection, or a function that gives the script of the nth (from 0). */
export async function startMockPostgres(
  script: readonly Step[] | ((connection: number) => readonly Step[]),
): Promise<MockPostgres> {
  // As a real one: a client that has sent its cancel request and closed its half waits for the end.
  const server = createServer({ allowHalfOpen: true })
  const choose = typeof script === 'function' ? script : () => script
  return new MockPostgres(server, await listenLocally(server), choose)
}

export class MockPostgres {
  readonly host = '127.0.0.1'
  readonly port: number
  /** What clients sent, over all connections, in order of arrival. */
  readonly messages: MockMessage[] = []
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #runs: Promise<void>[] = []

  /** Made by startMockPostgres only. */
  constructor(server: Server, port: number, script: (connection: number) => readonly Step[]) {
    this.#server = server
    this.port = port
    server.on('connection', (socket: Socket) => {
      const steps = script(this.connections)
      this.connections += 1
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      const follow = new Script(socket, this.messages).follow(steps)
      // Looked at in done(); until then an early failure must not count as unhandled.
      follow.catch(() => undefined)
      this.#runs.push(follow)
    })
  }

  /** Waits for every script that was begun; throws what deviated. */
  async done(): Promise<void> {
    await Promise.all(this.#runs)
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

class Script {
  readonly #socket: Socket
  readonly #seen: MockMessage[]
  #buffer: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  constructor(socket: Socket, seen: MockMessage[]) {
    this.#socket = socket
    this.#seen = seen
    socket.on('data', (bytes: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, bytes])
      this.#answerState()
      this.#wake()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake()
    }
    socket.on('end', end)
    socket.on('error', end)
    socket.on('close', end)
  }

  /**
   * What every new server is asked (src/proxy/pg/marks.ts) is no part of any script: it is no
   * standby, and has no mark.
   */
  #answerState(): void {
    const buffer = this.#buffer
    if (buffer[0] !== 0x51 || buffer.length < 5) return
    const end = 1 + buffer.readInt32BE(1)
    if (buffer.length < end || !buffer.subarray(5, end).includes('pg_is_in_recovery')) return
    this.#buffer = buffer.subarray(end)
    this.#socket.write(
      Buffer.concat([dataRow('f', 'f'), commandComplete('SELECT 1'), readyForQuery()]),
    )
  }

  async follow(steps: readonly Step[]): Promise<void> {
    for (const [index, step] of steps.entries()) {
      try {
        await this.#do(step)
      } catch (error) {
        this.#socket.destroy()
        throw new Error(`step ${index + 1} (${step.kind}) of ${steps.length}`, { cause: error })
      }
    }
  }

  async #do(step: Step): Promise<void> {
    switch (step.kind) {
      case 'expectStartup':
        this.#seen.push({ type: '', body: await this.#read(0) })
        return
      case 'expect':
        return this.#expect(step.type, step.body)
      case 'send':
        this.#socket.write(step.bytes)
        return
      case 'close':
        if (step.reset === true) this.#socket.resetAndDestroy()
        else this.#socket.end()
        return
      case 'silence':
        while (!this.#ended) await this.#arrival(Number.POSITIVE_INFINITY)
        return
      case 'run':
        await step.action()
        return
    }
  }

  async #expect(type: string, body: Buffer | undefined): Promise<void> {
    const bytes = await this.#read(1)
    const message = { type: bytes.toString('latin1', 0, 1), body: bytes.subarray(5) }
    this.#seen.push(message)
    if (message.type !== type) throw new Error(`expected ${type}, came ${message.type}`)
    if (body !== undefined && !body.equals(message.body)) {
      throw new Error(`expected ${body.toString('hex')}, came ${message.body.toString('hex')}`)
    }
  }

  /** A whole message whose length stands at `offset`. */
  async #read(offset: number): Promise<Buffer> {
    const deadline = performance.now() + stepDeadlineMs
    await this.#untilBuffered(offset + 4, deadline)
    const length = offset + this.#buffer.readInt32BE(offset)
    await this.#untilBuffered(length, deadline)
    const bytes = this.#buffer.subarray(0, length)
    this.#buffer = this.#buffer.subarray(length)
    return bytes
  }

  async #untilBuffered(length: number, deadline: number): Promise<void> {
    while (this.#buffer.length < length) {
      if (this.#ended) throw new Error('the client went away')
      await this.#arrival(deadline)
    }
  }

  async #arrival(deadline: number): Promise<void> {
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) throw new Error('nothing came before the deadline')
    await new Promise<void>((resolve) => {
      const timer = Number.isFinite(leftMs) ? setTimeout(resolve, Math.ceil(leftMs)) : undefined
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
