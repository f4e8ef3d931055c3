/** A whole control plane around a fake service, on a free port, with its state in a new folder. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime } from '../../src/control/runtime.ts'
import type { Runtime } from '../../src/control/runtime.ts'
import type { SideProbe } from '../../src/control/side-watch.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { FakeService } from './fake-service.ts'

export const operatorToken = 'operator-token-1'
export const viewerToken = 'viewer-token-1'

export interface Fixture {
  readonly runtime: Runtime
  readonly service: FakeService
  readonly folder: string
  readonly configFile: string
  /** Everything logged so far, one object per line. */
  readonly logged: readonly Record<string, unknown>[]
  readonly request: (path: string, options?: RequestOptions) => Promise<Answer>
  /** Rewrites the configuration file; a reload takes it. */
  readonly writeConfig: (extra: string) => void
}

export interface RequestOptions {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly token?: string
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON, an empty object when it is none. */
  readonly json: Record<string, unknown>
}

export interface FixtureOptions {
  readonly tokens?: boolean
  readonly extra?: string
  readonly probeSide?: SideProbe
}

const reachable: SideProbe = async () => ({
  reachable: true,
  code: '',
  message: '',
  version: '15.4',
  latencyMs: 1,
})

/** Stops with the test. */
export async function startFixture(test: Test, options: FixtureOptions = {}): Promise<Fixture> {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-control-'))
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const configFile = join(folder, 'database.yml')
  const writeConfig = (extra: string): void =>
    writeFileSync(configFile, configText(options.tokens === true, extra))
  writeConfig(options.extra ?? '')
  const { config } = loadConfig([configFile], {})
  const logged: Record<string, unknown>[] = []
  const log = createLog('debug', {
    write: (line) => {
      const fields: Record<string, unknown> = JSON.parse(line)
      logged.push(fields)
    },
  })
  const services: FakeService[] = []
  const runtime = await startRuntime({
    config,
    configFiles: [configFile],
    log,
    clock: systemClock,
    probeSide: options.probeSide ?? reachable,
    createService: (given) => {
      const service = new FakeService(given)
      services.push(service)
      return service
    },
  })
  test.teardown(() => runtime.stop('the test is over', 0))
  const [service] = services
  if (service === undefined) throw new Error('the runtime made no service')
  const request = (path: string, asked: RequestOptions = {}): Promise<Answer> =>
    send(runtime.adminAddress, path, asked)
  return { runtime, service, folder, configFile, logged, request, writeConfig }
}

export async function send(base: string, path: string, options: RequestOptions): Promise<Answer> {
  const body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body)
  const answer = await fetch(new URL(path, base), {
    method: options.method ?? 'GET',
    headers: {
      ...(options.body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(options.token === undefined ? {} : { Authorization: `Bearer ${options.token}` }),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body }),
  })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, text, json: parseObject(text) }
}

/** A member of the answer that is a list of objects. */
export function listOf({ json }: Answer, name: string): readonly Record<string, unknown>[] {
  const list: unknown = json[name]
  if (Array.isArray(list)) return list
  throw new Error(`the answer has no list '${name}'`)
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const parsed: Record<string, unknown> = JSON.parse(text)
    return parsed
  } catch {
    return {}
  }
}

function configText(tokens: boolean, extra: string): string {
  const tokenLines = [
    '  tokens:',
    `    - { name: ops, role: operator, secret: ${operatorToken} }`,
    `    - { name: eyes, role: viewer, secret: ${viewerToken} }`,
  ]
  return [
    'admin:',
    '  listen: 127.0.0.1:0',
    ...(tokens ? tokenLines : []),
    'state: { file: ./state }',
    'services:',
    '  orders:',
    '    protocol: postgres',
    '    listen: 127.0.0.1:0',
    '    clientAuth: { mode: trust }',
    '    source: { host: 127.0.0.1, port: 5432 }',
    '    target: { host: 127.0.0.1, port: 5433 }',
    extra,
    '',
  ].join('\n')
}
