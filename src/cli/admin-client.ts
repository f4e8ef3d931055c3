/** The CLI's side of the admin API: one request, typed, every failure a coded error. */
import { errorTable, PontoonError } from '../shared/errors.ts'
import type { ErrorCode } from '../shared/errors.ts'
import type { GateSnapshot } from '../net/gate.ts'
import type { ClientSnapshot, DrainReport } from '../proxy/service.ts'
import type { RoutePatch } from '../routing/route.ts'
import type { HealthReport } from '../control/health.ts'
import type { RouteAnswer } from '../control/operator.ts'
import type { ServiceView } from '../control/service-view.ts'
import type { Operation, SwitchOptions } from '../control/switches.ts'
import type { SwitchKind } from '../store/switch-record.ts'
import type { CommandInput } from './command.ts'

const defaultUrl = 'http://127.0.0.1:7070'

/** Longer than the longest pause may wait for its drain. */
const requestTimeoutMs = 75_000

/** What a sidecar can be asked about its health, as the paths under /health. */
export const healthProbes = ['startup', 'live', 'ready'] as const
export type HealthProbe = (typeof healthProbes)[number]

export class AdminClient {
  readonly #base: URL
  readonly #token: string | undefined

  /** Throws USAGE for a URL that is none. */
  constructor({ args, env }: Pick<CommandInput, 'args' | 'env'>) {
    this.#base = parseUrl(args.value('admin') ?? env['PONTOON_ADMIN'] ?? defaultUrl)
    this.#token = env['PONTOON_TOKEN']
  }

  async services(): Promise<readonly ServiceView[]> {
    const answer = await this.#request<{ services: readonly ServiceView[] }>('GET', '/v1/services')
    return answer.services
  }

  async service(name: string): Promise<ServiceView> {
    return await this.#request('GET', servicePath(name))
  }

  /** At most `limit` clients, those that cannot give their server back first. */
  async clients(name: string, limit: number): Promise<readonly ClientSnapshot[]> {
    const path = `${servicePath(name)}/clients?limit=${limit}`
    const answer = await this.#request<{ clients: readonly ClientSnapshot[] }>('GET', path)
    return answer.clients
  }

  async changeRoute(
    name: string,
    patch: RoutePatch,
    epoch: number,
    dryRun: boolean,
  ): Promise<RouteAnswer> {
    const path = `${servicePath(name)}/route${dryRun ? '?dryRun=true' : ''}`
    return await this.#request('PATCH', path, patch, { 'If-Match': `"${epoch}"` })
  }

  async pause(
    name: string,
    forMs: number,
    waitMs: number,
    terminate: boolean,
  ): Promise<DrainReport> {
    return await this.#request('POST', `${servicePath(name)}/pause`, { forMs, waitMs, terminate })
  }

  async resume(name: string): Promise<GateSnapshot> {
    return await this.#request('POST', `${servicePath(name)}/resume`, {})
  }

  async reconnect(name: string): Promise<GateSnapshot> {
    return await this.#request('POST', `${servicePath(name)}/reconnect`, {})
  }

  async startSwitch(
    name: string,
    kind: SwitchKind,
    options: SwitchOptions,
    key: string,
  ): Promise<Operation> {
    const headers = { 'Idempotency-Key': key }
    return await this.#request('POST', `${servicePath(name)}/${kind}`, options, headers)
  }

  async operation(id: string): Promise<Operation> {
    return await this.#request('GET', `/v1/operations/${encodeURIComponent(id)}`)
  }

  async abortOperation(id: string): Promise<Operation> {
    return await this.#request('POST', `/v1/operations/${encodeURIComponent(id)}/abort`, {})
  }

  /** A 503 is an answer too. */
  async health(probe: HealthProbe): Promise<HealthReport> {
    const answer = await this.#send('GET', `/health/${probe}`, undefined, {})
    const parsed = parseJson(await answer.text())
    const known = answer.ok || answer.status === 503
    if (known && isHealthReport(parsed)) return parsed
    throw this.#failure(answer.status, parsed)
  }

  async #request<T>(
    method: string,
    path: string,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    const answer = await this.#send(method, path, body, headers)
    const text = await answer.text()
    const parsed = parseJson(text)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the API is our own
    if (answer.ok && parsed !== undefined) return parsed as T
    throw this.#failure(answer.status, parsed)
  }

  async #send(
    method: string,
    path: string,
    body: object | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<Response> {
    try {
      return await fetch(new URL(path, this.#base), {
        method,
        headers: {
          ...headers,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...(this.#token === undefined ? {} : { Authorization: `Bearer ${this.#token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(requestTimeoutMs),
      })
    } catch (error) {
      throw new PontoonError(
        'ADMIN_UNREACHABLE',
        `no sidecar answers at ${this.#base.origin} (${reasonOf(error)})`,
        { cause: error },
      )
    }
  }

  #failure(status: number, parsed: unknown): PontoonError {
    const problem = typeof parsed === 'object' && parsed !== null ? parsed : {}
    const code = 'code' in problem ? String(problem.code) : ''
    const detail = 'detail' in problem ? String(problem.detail) : ''
    if (isErrorCode(code)) {
      return new PontoonError(
        code,
        code === 'INTERNAL' ? 'the sidecar failed; its log says why' : detail,
      )
    }
    return new PontoonError(
      'ADMIN_UNREACHABLE',
      `what answers at ${this.#base.origin} is no Pontoon sidecar (HTTP ${status})`,
    )
  }
}

function servicePath(name: string): string {
  return `/v1/services/${encodeURIComponent(name)}`
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new PontoonError('USAGE', `'${text}' is not an admin URL such as ${defaultUrl}.`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isHealthReport(parsed: unknown): parsed is HealthReport {
  return typeof parsed === 'object' && parsed !== null && 'ok' in parsed && 'reasons' in parsed
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code)
}

/** fetch hides the reason in the cause; of several addresses tried, the first one's counts. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'no answer in time'
  const { cause } = error
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  const reason = first instanceof Error ? first.message : error.message
  return /certificate/i.test(reason) ? `${reason}; is its CA in NODE_EXTRA_CA_CERTS?` : reason
}
