/** A raw Redis client for tests: sends exactly the bytes it is told, gives back exact replies. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { encodeCommand, readReply, RespError } from './resp.ts'
import type { RespReply, RespValue } from './resp.ts'

export interface WireOptions {
  readonly host?: string
  readonly port: number
  /** The authority to trust; TLS when given. */
  readonly ca?: string | undefined
  readonly cert?: string
  readonly key?: string
  /** How long a reply may take unless the call says; default 10 seconds. */
  readonly replyMs?: number
}

const replyDeadlineMs = 30_000

export async function connectRedis(options: WireOptions): Promise<RedisWire> {
  const { host = '127.0.0.1', port } = options
  const socket =
    options.ca === undefined
      ? connect({ host, port, noDelay: true })
      : connectTls({ servername: 'localhost', ...options, host })
  await new Promise<void>((resolve, reject) => {
    socket.once(options.ca === undefined ? 'connect' : 'secureConnect', resolve)
    socket.once('error', reject)
  })
  return new RedisWire(socket, options.replyMs)
}

interface Waiting {
  resolve(reply: RespReply): void
  reject(error: Error): void
}

export class RedisWire {
  readonly socket: Socket
  readonly #replyMs: number
  #bytes: Buffer = Buffer.alloc(0)
  readonly #waiting: Waiting[] = []
  #closed: Error | undefined
  readonly #atClose: (() => void)[] = []

  /** Made by connectRedis only. */
  constructor(socket: Socket, replyMs = replyDeadlineMs) {
    this.socket = socket
    this.#replyMs = replyMs
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#close(error))
    socket.on('close', () => this.#close(new Error('closed by the other side')))
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  raw(bytes: Buffer | string): void {
    this.socket.write(bytes)
  }

  send(...args: readonly (string | number | Buffer)[]): void {
    this.raw(encodeCommand(...args))
  }

  /** The next reply, pushes included. */
  next(deadlineMs = this.#replyMs): Promise<RespReply> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no reply within ${deadlineMs} ms`)),
        deadlineMs,
      )
      this.#waiting.push({
        resolve: (reply) => {
          clearTimeout(timer)
          resolve(reply)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
      this.#deliver()
    })
  }

  /** The value of the next reply; an error of the server is a RespError in it. */
  async value(deadlineMs?: number): Promise<RespValue> {
    return (await this.next(deadlineMs)).value
  }

  /** Sends one command and gives its reply. */
  ask(...args: readonly (string | number | Buffer)[]): Promise<RespValue> {
    this.send(...args)
    return this.value()
  }

  /** As ask(), but an error of the server is thrown. */
  async call(...args: readonly (string | number | Buffer)[]): Promise<RespValue> {
    const value = await this.ask(...args)
    if (value instanceof RespError) throw new Error(`${args.join(' ')}: ${value.message}`)
    return value
  }

  /** What has arrived and was not asked for yet, for tests that nothing does. */
  get unread(): Buffer {
    return this.#bytes
  }

  /** Resolves when the other side has closed the connection. */
  async untilClosed(deadlineMs = this.#replyMs): Promise<void> {
    if (this.isClosed) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('still open')), deadlineMs)
      this.#atClose.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  destroy(): void {
    this.socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    this.#deliver()
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      const reply = readReply(this.#bytes)
      if (reply === undefined) break
      this.#bytes = this.#bytes.subarray(reply.bytes.length)
      this.#waiting.shift()?.resolve(reply)
    }
    if (this.#closed !== undefined) {
      for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#closed)
    }
  }

  #close(error: Error): void {
    if (this.#closed !== undefined) return
    this.#closed = error
    this.#deliver()
    for (const resolve of this.#atClose.splice(0)) resolve()
  }
}
