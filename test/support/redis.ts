/**
 * Real Redis servers for tests, the demo and the benchmarks: each in a temporary folder, on a free
 * port, as an unprivileged user, gone when this process is gone. Neighbours: redis-wire.ts (a raw
 * client), redis-topologies.ts (replicas, Sentinel, cluster), child-processes.ts.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureTools } from '../../scripts/lib/requirements.ts'
import type { Certificate } from './certificates.ts'
import { processTree, signalAll, startChild, waitUntilGone } from './child-processes.ts'
import type { Child } from './child-processes.ts'
import { freePort } from './free-port.ts'
import { connectRedis } from './redis-wire.ts'
import type { RedisWire } from './redis-wire.ts'
import { textOf } from './resp.ts'
import type { RespValue } from './resp.ts'
import { giveTo, unprivilegedUser } from './system-user.ts'

export interface RedisTls {
  readonly certificate: Certificate
  readonly ca: Certificate
  /** Clients must show a certificate too. Default false. */
  readonly clientCertificates?: boolean
}

export interface RedisOptions {
  /** Lines of redis.conf, over the defaults: no persistence, one port of 127.0.0.1. */
  readonly config?: readonly string[]
  /** Of the default user (requirepass). */
  readonly password?: string
  /** ACL rules by user name, without the word `user`: `on >secret ~* +@all`. */
  readonly users?: Readonly<Record<string, string>>
  /** Then the port speaks TLS only. */
  readonly tls?: RedisTls
  /** A second port, which speaks TLS beside the plain one. */
  readonly also?: { readonly tls: RedisTls; readonly port: number }
  /** Run as Sentinel. */
  readonly sentinel?: boolean
  /** Default: a free one. */
  readonly port?: number
}

const startDeadlineMs = 30_000
const stopDeadlineMs = 10_000
const startAttemptsMax = 5

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  await ensureTools(['redis-server'])
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-redis-'))
  giveTo(unprivilegedUser(), folder)
  const server = new RedisServer(options, folder)
  try {
    await server.startFirst()
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

export class RedisServer {
  readonly host = '127.0.0.1'
  readonly folder: string
  readonly #options: RedisOptions
  readonly #configFile: string
  readonly #logFile: string
  #port = 0
  #child: Child | undefined
  #wire: RedisWire | undefined

  /** Made by startRedis only. */
  constructor(options: RedisOptions, folder: string) {
    this.#options = options
    this.folder = folder
    this.#configFile = join(folder, 'redis.conf')
    this.#logFile = join(folder, 'redis.log')
  }

  get port(): number {
    return this.#port
  }

  get password(): string | undefined {
    return this.#options.password
  }

  /** Undefined while the server is down. */
  get pid(): number | undefined {
    return this.#child?.isRunning() === true ? this.#child.pid : undefined
  }

  log(): string {
    try {
      return readFileSync(this.#logFile, 'utf8')
    } catch {
      return ''
    }
  }

  url(database = 0): string {
    const login = this.password === undefined ? '' : `:${encodeURIComponent(this.password)}@`
    const scheme = this.#options.tls === undefined ? 'redis' : 'rediss'
    return `${scheme}://${login}${this.host}:${this.#port}/${database}`
  }

  /** A new connection that is logged in where a password is set. */
  async connect(): Promise<RedisWire> {
    const { tls, password } = this.#options
    const wire = await connectRedis({
      host: this.host,
      port: this.#port,
      ...(tls === undefined
        ? {}
        : { ca: tls.ca.cert, cert: tls.certificate.cert, key: tls.certificate.key }),
    })
    if (password !== undefined) await wire.call('AUTH', password)
    return wire
  }

  /** On a connection that the calls of this kind share. Throws the server's errors. */
  async call(...args: readonly (string | number | Buffer)[]): Promise<RespValue> {
    if (this.#wire === undefined || this.#wire.isClosed) this.#wire = await this.connect()
    return this.#wire.call(...args)
  }

  /** One field of INFO, or undefined. */
  async info(field: string): Promise<string | undefined> {
    const text = textOf(await this.call('INFO', 'everything'))
    return new RegExp(`^${field}:(.*)\\r$`, 'm').exec(text)?.[1]
  }

  async version(): Promise<string> {
    return (await this.info('redis_version')) ?? 'unknown'
  }

  /** A port can be taken between finding and binding it, so a found one is tried again. */
  async startFirst(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      this.#port = this.#options.port ?? (await freePort())
      writeFileSync(this.#configFile, this.#configText())
      giveTo(unprivilegedUser(), this.#configFile)
      try {
        return await this.start()
      } catch (error) {
        const taken = this.log().includes('Address already in use')
        if (this.#options.port !== undefined || !taken || attempt === startAttemptsMax) throw error
      }
    }
  }

  /** After shutdown() or kill9(): on the same port, with the same folder. */
  async start(): Promise<void> {
    const mode = this.#options.sentinel === true ? ['--sentinel'] : []
    this.#child = await startChild(
      '/usr/bin/redis-server',
      [this.#configFile, ...mode],
      { user: unprivilegedUser(), cwd: this.folder },
      () => this.#removeFolder(),
    )
    const deadline = performance.now() + startDeadlineMs
    for (;;) {
      const wire = await this.connect().catch(() => undefined)
      const answer = wire === undefined ? '' : await wire.ask('PING').catch(() => '')
      wire?.destroy()
      if (answer === 'PONG') return
      if (!this.#child.isRunning() || performance.now() > deadline) {
        throw new Error(`redis-server did not start:\n${this.log().slice(-2_000)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** Ends the server and removes its folder. May be called in any state, also twice. */
  async stop(): Promise<void> {
    await this.kill9()
    this.#removeFolder()
  }

  /** Ends the server in good order and keeps its folder. */
  shutdown(): Promise<void> {
    return this.#end('SIGTERM')
  }

  kill9(): Promise<void> {
    return this.#end('SIGKILL')
  }

  async restart(): Promise<void> {
    await this.shutdown()
    await this.start()
  }

  /** A hang: connections stay open and the kernel accepts new ones, no answer comes. */
  pause(): void {
    if (this.pid !== undefined) signalAll([this.pid], 'SIGSTOP')
  }

  resume(): void {
    if (this.pid !== undefined) signalAll([this.pid], 'SIGCONT')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#wire?.destroy()
    this.#wire = undefined
    const pid = this.pid
    if (pid === undefined) return
    // A stopped server acts on SIGTERM only once it goes on; SIGKILL ends it before it can answer.
    if (signal !== 'SIGKILL') signalAll([pid], 'SIGCONT')
    // What it has forked to save or rewrite a file would write on.
    const tree = processTree(pid)
    signalAll(signal === 'SIGKILL' ? tree : [pid], signal)
    try {
      await waitUntilGone(tree, stopDeadlineMs)
    } catch {
      signalAll(tree, 'SIGKILL')
      await waitUntilGone(tree, stopDeadlineMs)
    }
    await this.#child?.exited
  }

  #configText(): string {
    const { tls, also, password, users = {}, config = [] } = this.#options
    const lines = [
      `bind ${this.host}`,
      `dir ${this.folder}`,
      `logfile ${this.#logFile}`,
      'daemonize no',
      ...(this.#options.sentinel === true ? [] : ['save ""', 'appendonly no']),
      `port ${tls === undefined ? this.#port : 0}`,
      ...(tls === undefined
        ? []
        : [...tlsLines(tls, this.#port, this.#copyOf), 'tls-replication yes', 'tls-cluster yes']),
      ...(also === undefined ? [] : tlsLines(also.tls, also.port, this.#copyOf)),
      ...(password === undefined ? [] : [`requirepass ${password}`]),
      ...Object.entries(users).map(([name, rules]) => `user ${name} ${rules}`),
      ...config,
    ]
    return `${lines.join('\n')}\n`
  }

  /** The server's own copy: it does not run as the user who made the certificate. */
  readonly #copyOf = (name: string, text: string): string => {
    const path = join(this.folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    giveTo(unprivilegedUser(), path)
    return path
  }

  #removeFolder(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function tlsLines(
  { certificate, ca, clientCertificates }: RedisTls,
  port: number,
  copyOf: (name: string, text: string) => string,
): string[] {
  return [
    `tls-port ${port}`,
    `tls-cert-file ${copyOf('server.crt', certificate.cert)}`,
    `tls-key-file ${copyOf('server.key', certificate.key)}`,
    `tls-ca-cert-file ${copyOf('ca.crt', ca.cert)}`,
    `tls-auth-clients ${clientCertificates === true ? 'yes' : 'no'}`,
  ]
}
