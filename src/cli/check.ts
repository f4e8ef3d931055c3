/** pontoon check: is the configuration right, and can both sides of every service be used? */
import { loadConfig } from '../config/load.ts'
import type { AnyServiceConfig } from '../config/schema.ts'
import { probesOf } from '../control/side-probe.ts'
import { isFenced } from '../migration/pg/fence.ts'
import { connectAs } from '../migration/pg/side-login.ts'
import { fenceSpec } from '../migration/pg/switch/switch-sides.ts'
import { Secrets } from '../net/secrets/secrets.ts'
import { systemClock } from '../shared/clock.ts'
import { silentLog } from '../shared/log.ts'
import { reachStep, type ProbeReport, type ProbeStep } from '../net/pg/probe.ts'
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
    'of every role that the configuration names, version and round trip. Of a side that is fenced,\n' +
    'the roles of clients have to be refused. Exit code 1 if anything is wrong.',
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
  const fencedOut = await fencedOutOf(place)
  const order = fencedOut.length === 0 ? 'clients' : 'own'
  const [first, ...others] = probesOf(service, side, secrets, { first: order, fencedOut })
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
      ...roleWarnings(place, steps),
    ],
  }
}

/** Before the first pontoon schema they are not there, and the server calls that a wrong password. */
function roleWarnings({ service, side }: Place, steps: readonly ProbeStep[]): readonly string[] {
  if (service.protocol !== 'postgres') return []
  const { controlUser, replicationUser, readUser } = service[side]
  const own = [controlUser, replicationUser, readUser].flatMap((role) => role?.user ?? [])
  const refused = steps.filter(({ code }) => code === 'SERVER_AUTH_FAILED')
  const names = (user: string) => refused.some(({ text }) => text.includes(`"${user}"`))
  const missing = own.filter(names)
  const ofClients = refused.length > missing.length
  return [
    ...(missing.length === 0
      ? []
      : [
          `pontoon schema makes the roles of Pontoon's own that are missing: ${missing.join(', ')}`,
        ]),
    ...(side === 'target' && ofClients ? [withoutPassword] : []),
  ]
}

const withoutPassword =
  'pontoon schema brings the roles of the application here, without passwords: ' +
  'set them then, with ALTER ROLE … PASSWORD in the database postgres'

/** Roles that the fence of that side has to refuse; none where there is no fence, or nobody to ask. */
async function fencedOutOf({ name, service, side, secrets }: Place): Promise<readonly string[]> {
  if (service.protocol !== 'postgres' || service[side].controlUser === undefined) return []
  const context = { service: name, config: service, secrets }
  try {
    const client = await connectAs(context, { side, purpose: 'control', task: 'check' })
    try {
      return (await isFenced(client)) ? fenceSpec(context, side).applicationRoles : []
    } finally {
      client.close()
    }
  } catch {
    // What is wrong there, the login of the control role will say.
    return []
  }
}

/** Clients bring their own names and passwords, so there is no login to try. */
async function reachOnly({ name, service, side }: Place): Promise<SideReport> {
  const { host, port, connectTimeoutMs } = service[side]
  const step = await tcpStep({ host, port }, connectTimeoutMs)
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

async function tcpStep(
  endpoint: { readonly host: string; readonly port: number },
  timeoutMs: number,
): Promise<ProbeStep> {
  const startMs = performance.now()
  const tookMs = (): number => performance.now() - startMs
  try {
    const text = await reachStep(endpoint, timeoutMs)
    return { name: 'tcp', ok: true, text, code: null, tookMs: tookMs() }
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
