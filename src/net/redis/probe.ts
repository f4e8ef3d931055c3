/**
 * Looks at a Redis side the way a server would use it, step by step, for `pontoon check` and the
 * health of sides: name, TCP, TLS with the certificate's dates, login, version, latency.
 */
import { TLSSocket } from 'node:tls'
import { toPontoonError } from '../../shared/errors.ts'
import { endpointName } from '../address.ts'
import { reachStep, resolveStep, tlsText, type ProbeReport, type ProbeStep } from '../pg/probe.ts'
import { withRedis } from './ask.ts'
import type { RedisLoginOptions } from './login.ts'

const latencySamples = 5

interface Found {
  readonly steps: readonly ProbeStep[]
  readonly serverVersion: string | null
  readonly connectionsMax: number | null
  readonly latencyMs: number | null
  readonly certificateExpires: Date | null
}

export async function probeRedis(options: RedisLoginOptions): Promise<ProbeReport> {
  const { endpoint, timeoutMs } = options
  const steps: ProbeStep[] = []
  const report = (found: Partial<Found> = {}): ProbeReport => ({
    endpoint: endpointName(endpoint),
    ok: steps.every((step) => step.ok),
    serverVersion: null,
    connectionsMax: null,
    latencyMs: null,
    certificateExpires: null,
    ...found,
    steps,
  })
  for (const [name, run] of [
    ['dns', () => resolveStep(endpoint.host)],
    ['tcp', () => reachStep(endpoint, timeoutMs)],
  ] as const) {
    const step = await timed(name, run)
    steps.push(step)
    if (!step.ok) return report()
  }
  const startMs = performance.now()
  try {
    const found = await withRedis(options, async (ask, { socket }) => {
      const secured = socket instanceof TLSSocket ? socket : null
      if (secured !== null) steps.push(done('tls', tlsText(secured, options.tls.mode), startMs))
      steps.push(done('login', loginText(options), startMs))
      const expires = secured?.getPeerCertificate().valid_to
      const certificateExpires = expires === undefined ? null : new Date(expires)
      return { ...(await look(ask)), certificateExpires }
    })
    const version = found.serverVersion ?? 'of a version it does not tell'
    const text = `Redis ${version}, round trip ${found.latencyMs.toFixed(1)} ms`
    steps.push(done('query', text, startMs))
    return report(found)
  } catch (thrown) {
    const { message, code } = toPontoonError(thrown, 'CONNECT_FAILED')
    const name = steps.some((step) => step.name === 'login') ? 'query' : 'login'
    steps.push({ name, ok: false, text: message, code, tookMs: performance.now() - startMs })
    return report()
  }
}

async function look(
  ask: (...words: string[]) => Promise<Buffer>,
): Promise<{ serverVersion: string | null; connectionsMax: number | null; latencyMs: number }> {
  const samples: number[] = []
  for (let index = 0; index < latencySamples; index += 1) {
    const startMs = performance.now()
    await ask('PING')
    samples.push(performance.now() - startMs)
  }
  // INFO and its fields may be closed to the user, or left out by a managed service.
  const info = await ask('INFO').then(String, () => '')
  const field = (name: string): string | null =>
    new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? null
  return {
    serverVersion: field('redis_version'),
    connectionsMax: field('maxclients') === null ? null : Number(field('maxclients')),
    latencyMs: samples.toSorted((a, b) => a - b)[Math.floor(latencySamples / 2)] ?? 0,
  }
}

function loginText({ user, password }: RedisLoginOptions): string {
  return password === null ? 'no login is configured' : `logged in as ${user ?? 'default'}`
}

function done(name: ProbeStep['name'], text: string, startMs: number): ProbeStep {
  return { name, ok: true, text, code: null, tookMs: performance.now() - startMs }
}

async function timed(name: ProbeStep['name'], run: () => Promise<string>): Promise<ProbeStep> {
  const startMs = performance.now()
  try {
    return done(name, await run(), startMs)
  } catch (thrown) {
    const { message, code } = toPontoonError(thrown, 'CONNECT_FAILED')
    return { name, ok: false, text: message, code, tookMs: performance.now() - startMs }
  }
}
