/**
 * Looks at a side the way a server would use it, step by step, for `pontoon check` and the health
 * of sides: name, TCP, TLS with the certificate's dates, login, version, latency. A step that
 * fails names what to mend; later steps are then left out.
 */
import { lookup } from 'node:dns/promises'
import { TLSSocket } from 'node:tls'
import type { SideConfig } from '../../config/schema.ts'
import { PontoonError, toPontoonError, type ErrorCode } from '../../shared/errors.ts'
import { terminateMessage } from '../../wire/pg/write.ts'
import { endpointName, isUnixHost } from '../address.ts'
import { dial } from '../dial.ts'
import { serverTls } from '../tls.ts'
import { login, type LoginOptions } from './login.ts'
import { openQueryConnection } from './query.ts'

export interface ProbeOptions {
  readonly user: string
  readonly password: string | null
  readonly database: string
}

export interface ProbeStep {
  readonly name: 'dns' | 'tcp' | 'tls' | 'login' | 'query'
  readonly ok: boolean
  /** What was found, or what is wrong, in plain words. */
  readonly text: string
  readonly code: ErrorCode | null
  /** Milliseconds the step took. */
  readonly tookMs: number
}

export interface ProbeReport {
  readonly endpoint: string
  readonly ok: boolean
  readonly steps: readonly ProbeStep[]
  readonly serverVersion: string | null
  /** Round trip of a SELECT 1, median of five; milliseconds. */
  readonly latencyMs: number | null
  /** When the server's certificate expires, or null without TLS. */
  readonly certificateExpires: Date | null
}

const latencySamples = 5

export async function probeSide(side: SideConfig, options: ProbeOptions): Promise<ProbeReport> {
  const endpoint = { host: side.host, port: side.port }
  const steps: ProbeStep[] = []
  let serverVersion: string | null = null
  let latencyMs: number | null = null
  let certificateExpires: Date | null = null
  const step = async (name: ProbeStep['name'], run: () => Promise<string>): Promise<boolean> => {
    const startMs = performance.now()
    try {
      const text = await run()
      steps.push({ name, ok: true, text, code: null, tookMs: performance.now() - startMs })
      return true
    } catch (thrown) {
      const error = toPontoonError(thrown, 'CONNECT_FAILED')
      steps.push({
        name,
        ok: false,
        text: error.message,
        code: error.code,
        tookMs: performance.now() - startMs,
      })
      return false
    }
  }
  const run = async (): Promise<boolean> => {
    if (!isUnixHost(side.host) && !(await step('dns', () => resolve(side.host)))) return false
    if (!(await step('tcp', () => reach(endpoint, side.connectTimeoutMs)))) return false
    const loginOptions: LoginOptions = {
      endpoint,
      tls: serverTls(side.tls, side.host),
      parameters: new Map([
        ['user', options.user],
        ['database', options.database],
        ['application_name', 'pontoon check'],
      ]),
      password: options.password,
      timeoutMs: side.connectTimeoutMs,
    }
    const loggedIn = await step('login', async () => {
      const { socket, reported } = await login(loginOptions)
      serverVersion = reported.get('server_version') ?? null
      if (socket instanceof TLSSocket) {
        certificateExpires = new Date(socket.getPeerCertificate().valid_to)
        steps.push({
          name: 'tls',
          ok: true,
          text: tlsText(socket, side.tls.mode),
          code: null,
          tookMs: 0,
        })
      }
      socket.on('error', () => undefined)
      socket.end(terminateMessage)
      return `logged in as ${options.user} to database ${options.database}`
    })
    if (!loggedIn) return false
    return step('query', async () => {
      const connection = await openQueryConnection(loginOptions)
      latencyMs = await latency((sql) => connection.query(sql, side.connectTimeoutMs)).finally(() =>
        connection.close(),
      )
      return `PostgreSQL ${connection.serverVersion}, round trip ${latencyMs.toFixed(1)} ms`
    })
  }
  const ok = await run()
  return {
    endpoint: endpointName(endpoint),
    ok,
    steps,
    serverVersion,
    latencyMs,
    certificateExpires,
  }
}

async function resolve(host: string): Promise<string> {
  try {
    const addresses = await lookup(host, { all: true })
    return addresses.map(({ address }) => address).join(', ')
  } catch (error) {
    throw new PontoonError('DNS_FAILED', `the name ${host} does not resolve`, { cause: error })
  }
}

async function reach(endpoint: { host: string; port: number }, timeoutMs: number): Promise<string> {
  const { socket } = await dial(endpoint, timeoutMs)
  socket.destroy()
  return `${endpointName(endpoint)} accepts connections`
}

function tlsText(socket: TLSSocket, mode: string): string {
  const certificate = socket.getPeerCertificate()
  const verified = socket.authorized ? 'verified' : `not verified (tls.mode is ${mode})`
  return `${socket.getProtocol() ?? 'TLS'}, certificate ${verified}, expires ${certificate.valid_to}`
}

async function latency(query: (sql: string) => Promise<unknown>): Promise<number> {
  const samples: number[] = []
  for (let index = 0; index < latencySamples; index += 1) {
    const startMs = performance.now()
    // eslint-disable-next-line no-await-in-loop -- one round trip at a time is what is measured
    await query('SELECT 1')
    samples.push(performance.now() - startMs)
  }
  return samples.toSorted((a, b) => a - b)[Math.floor(latencySamples / 2)] as number
}
