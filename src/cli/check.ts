/** pontoon check: is the configuration right, and can both sides of every service be used? */
import { loadConfig } from '../config/load.ts'
import type { AnyServiceConfig } from '../config/schema.ts'
import { lookAtSide, probesOf } from '../control/side-probe.ts'
import { Secrets } from '../net/secrets/secrets.ts'
import { systemClock } from '../shared/clock.ts'
import { silentLog } from '../shared/log.ts'
import type { ProbeReport, ProbeStep } from '../net/pg/probe.ts'
import { toPontoonError } from '../shared/errors.ts'
import { sides } from '../shared/side.ts'
import type { Side } from '../shared/side.ts'
import { certificateWarnings, checkClientTls } from './check-certificates.ts'
import type { CertificateReport } from './check-certificates.ts'
import { configFilesOf, configOption } from './config-files.ts'
import { exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { padToWidth, printable } from './display-width.ts'

export const check: Command = {
  name: 'check',
  summary: 'Check the configuration and reach both sides of every service.',
  details:
    'The certificate shown to clients; for each side: name, TCP, TLS with its certificate, login\n' +
    'of every role that the configuration names, version and round trip. Exit code 1 if anything\n' +
    'is wrong.',
  positionals: [],
  options: { ...configOption, offline: { help: 'Check the configuration only.' } },
  examples: [
    'pontoon check --config config/database.yml',
    'pontoon check --config config/database.yml --offline',
    'pontoon check --json',
  ],
  run,
}

interface Place {
  readonly name: string
  readonly service: AnyServiceConfig
  readonly side: Side
  readonly secrets: Secrets
}

interface SideReport extends ProbeReport {
  readonly service: string
  readonly side: Side
  readonly warnings: readonly string[]
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const { config, files, warnings } = loadConfig(configFilesOf(args), env)
  const services = Object.entries(config.services)
  const secrets = new Secrets({ clock: systemClock, log: silentLog })
  const places = services.flatMap(([name, service]) =>
    sides.map((side): Place => ({ name, service, side, secrets })),
  )
  const reports = args.has('offline') ? [] : await Promise.all(places.map(checkSide))
  const certificates = services.flatMap(
    ([name, service]) => checkClientTls(name, service.clientTls) ?? [],
  )
  const ok = [...reports, ...certificates].every((report) => report.ok)
  const names = services.map(([name]) => name)
  output.result({ ok, files, services: names, warnings, certificates, sides: reports }, () =>
    [
      `${files.join(', ')}: valid, ${names.length === 1 ? 'service' : 'services'} ${names.join(', ')}`,
      ...warnings.map((warning) => `warning: ${warning}`),
      ...certificates.map(describeCertificate),
      ...reports.map(describeSide),
      ...(reports.length > 0 ? [verdict(reports)] : []),
    ].join('\n'),
  )
  return ok ? exitCodes.ok : exitCodes.failed
}

/** All roles, one after the other: the first tells about the way there, the rest of themselves. */
async function checkSide(place: Place): Promise<SideReport> {
  const { name, service, side, secrets } = place
  const [first, ...others] = probesOf(service, side, secrets)
  if (first === undefined) return await reachOnly(place)
  const report = await first()
  const steps = [...report.steps]
  for (const probe of report.ok ? others : []) {
    const more = await probe()
    steps.push(...more.steps.filter((step) => step.name === 'login'))
  }
  return {
    ...report,
    service: name,
    side,
    ok: report.ok && steps.every((step) => step.ok),
    steps,
    warnings: [
      ...certificateWarnings(report.certificateExpires),
      ...connectionWarnings(service, report.connectionsMax),
    ],
  }
}

/** Clients bring their own names and passwords, so there is no login to try. */
async function reachOnly(place: Place): Promise<SideReport> {
  const { name, service, side } = place
  const { host, port } = service[side]
  const step = await reachStep(place)
  return {
    service: name,
    side,
    endpoint: `${host}:${port}`,
    ok: step.ok,
    steps: [step],
    serverVersion: null,
    connectionsMax: null,
    latencyMs: null,
    certificateExpires: null,
    warnings: ['login not tried: the configuration names no user or password for this side'],
  }
}

async function reachStep({ service, side, secrets }: Place): Promise<ProbeStep> {
  const startMs = performance.now()
  const tookMs = (): number => performance.now() - startMs
  try {
    await lookAtSide(secrets)({ config: service }, side)
    return { name: 'tcp', ok: true, text: 'accepts connections', code: null, tookMs: tookMs() }
  } catch (thrown) {
    const { message, code } = toPontoonError(thrown)
    return { name: 'tcp', ok: false, text: message, code, tookMs: tookMs() }
  }
}

/** What the pools of one sidecar may grow to, against what the server has room for. */
function connectionWarnings(
  service: AnyServiceConfig,
  connectionsMax: number | null,
): readonly string[] {
  if (connectionsMax === null) return []
  const users = Math.max(1, Object.keys(service.users ?? {}).length)
  // How many of their own Redis clients take depends on them.
  const databases = service.protocol === 'redis' ? 1 : Math.max(1, service.databases?.length ?? 1)
  const wanted = service.pool.size * users * databases
  if (wanted <= connectionsMax) return []
  const sum = `pool.size ${service.pool.size} for ${users} users and ${databases} databases`
  return [`${sum} may open ${wanted} connections, but the server allows ${connectionsMax}`]
}

const stepNames: Readonly<Record<ProbeStep['name'], string>> = {
  dns: 'name',
  tcp: 'connect',
  tls: 'TLS',
  login: 'login',
  query: 'query',
}

function describeCertificate({ service, ok, text, code, warnings }: CertificateReport): string {
  return [
    '',
    `${service} clients`,
    line(ok ? 'ok' : 'FAILED', 'TLS', code === null ? text : `${text} [${code}]`),
    ...warnings.map((warning) => line('warning', '', warning)),
  ].join('\n')
}

function describeSide({ service, side, endpoint, steps, warnings }: SideReport): string {
  return [
    '',
    `${service} ${side}: ${endpoint}`,
    ...steps.map(({ name, ok, text, code }) =>
      line(ok ? 'ok' : 'FAILED', stepNames[name], code === null ? text : `${text} [${code}]`),
    ),
    ...warnings.map((warning) => line('warning', '', warning)),
  ].join('\n')
}

function line(mark: string, name: string, text: string): string {
  return `  ${padToWidth(mark, 9)}${padToWidth(name, 9)}${printable(text)}`
}

function verdict(reports: readonly SideReport[]): string {
  const bad = reports.filter((report) => !report.ok)
  if (bad.length === 0) return '\nBoth sides of every service can be used.'
  const names = bad.map(({ service, side }) => `${service} ${side}`).join(', ')
  return `\n${bad.length} of ${reports.length} sides cannot be used: ${names}.`
}
