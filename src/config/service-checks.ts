/** The checks of one service: who may come in, TLS, the two sides, where it starts. */
import { checkClientAuth, checkLogins } from './auth-checks.ts'
import type { CheckReport } from './checks.ts'
import { checkConsole } from './console-checks.ts'
import { isLoopback, isLoopbackHost, type ListenAddress } from './listen-address.ts'
import type { Path } from './mistake.ts'
import type { PhaseProfiles } from './phases.ts'
import type {
  AnyServiceConfig,
  ClientTlsConfig,
  ServerTlsConfig,
  ServiceConfig,
  SideConfig,
} from './schema.ts'

export function checkService(
  path: Path,
  service: ServiceConfig,
  listening: readonly ListenAddress[],
  phases: PhaseProfiles,
  report: CheckReport,
): void {
  const open = listening.some((address) => !isLoopback(address))
  checkClientAuth(path, service, open, report)
  checkConsole(path, service, report)
  checkClientTls([...path, 'clientTls'], service.clientTls, report)
  checkSide([...path, 'source'], service.source, listening, report)
  checkSide([...path, 'target'], service.target, listening, report)
  checkLogins(path, 'source', service, report)
  checkLogins(path, 'target', service, report)
  if (sameDatabase(service.source, service.target)) {
    report.mistake([...path, 'target'], 'is the same database as source')
  }
  checkStart([...path, 'route'], service.route, phases, report)
}

export function checkClientTls(path: Path, tls: ClientTlsConfig, report: CheckReport): void {
  if (tls.mode === 'disable') {
    for (const key of ['cert', 'key', 'clientCa'] as const) {
      if (tls[key] !== undefined) report.warning([...path, key], 'has no effect: mode is disable')
    }
    return
  }
  for (const key of ['cert', 'key'] as const) {
    if (tls[key] === undefined) {
      report.mistake([...path, key], `is missing: clientTls with mode ${tls.mode} needs it`)
    }
  }
}

function checkSide(
  path: Path,
  side: SideConfig,
  listening: readonly ListenAddress[],
  report: CheckReport,
): void {
  checkServerTls([...path, 'tls'], side, side.tls, report)
  if (pointsAt(side, listening)) {
    report.mistake([...path, 'host'], `leads back to the service itself (port ${side.port})`)
  }
}

function checkServerTls(
  path: Path,
  side: SideConfig,
  tls: ServerTlsConfig,
  report: CheckReport,
): void {
  const pairs = [
    ['cert', 'key'],
    ['key', 'cert'],
  ] as const
  for (const [given, needed] of pairs) {
    if (tls[given] === undefined || tls[needed] !== undefined) continue
    report.mistake([...path, needed], `is missing: ${given} is of no use without it`)
  }
  if (side.host.startsWith('/') && tls.mode !== 'disable' && tls.mode !== 'prefer') {
    report.mistake([...path, 'mode'], `${tls.mode} cannot be had over a Unix socket`)
  }
  if (tls.negotiation === 'direct' && (tls.mode === 'disable' || tls.mode === 'prefer')) {
    const reason = `direct needs mode require, verify-ca or verify-full, but mode is ${tls.mode}`
    report.mistake([...path, 'negotiation'], reason)
  }
  if (tls.channelBinding === 'require' && (tls.mode === 'disable' || side.host.startsWith('/'))) {
    report.mistake([...path, 'channelBinding'], 'require needs TLS: there is no channel to bind to')
  }
  if (tls.ca !== undefined && !tls.mode.startsWith('verify-')) {
    report.warning([...path, 'ca'], `has no effect: mode ${tls.mode} verifies nothing`)
  }
}

export function pointsAt(
  side: Pick<SideConfig, 'host' | 'port'>,
  listening: readonly ListenAddress[],
): boolean {
  return listening.some((address) => {
    if (address.kind === 'unix') {
      return address.path === `${side.host}/.s.PGSQL.${side.port}`
    }
    if (address.port !== side.port) return false
    return address.host === side.host || (isLoopback(address) && isLoopbackHost(side.host))
  })
}

/** Both undefined counts as the same: the client's own choice reaches one database. */
function sameDatabase(source: SideConfig, target: SideConfig): boolean {
  return (
    source.port === target.port &&
    source.database === target.database &&
    sameHost(source.host, target.host)
  )
}

export function sameHost(one: string, other: string): boolean {
  if (isLoopbackHost(one) && isLoopbackHost(other)) return true
  return plainHost(one) === plainHost(other)
}

function plainHost(host: string): string {
  // Folders keep their case; a trailing slash or the dot of a fully qualified name means nothing.
  return host.startsWith('/') ? host.replace(/\/+$/, '') : host.toLowerCase().replace(/\.$/, '')
}

export function checkStart(
  path: Path,
  route: ServiceConfig['route'],
  phases: PhaseProfiles,
  report: CheckReport,
): void {
  const profile = phases[route.phase]
  if (profile.reachedBy !== 'patch') {
    const message = `no service starts in phase ${profile.phase}: only pontoon ${profile.reachedBy}`
    report.mistake([...path, 'phase'], `${message} reaches it`)
  } else if (profile.mirror > 0 || profile.dualWrite > 0) {
    const needs = profile.mirror > 0 ? 'mirroring of reads' : 'dual-write'
    const message = `phase ${profile.phase} needs ${needs}, which is not supported yet`
    report.mistake([...path, 'phase'], `${message} by this version`)
  }
}

/**
 * A switch moves a database away from under every service that has it; only the one that is switched
 * follows, and no other could ever follow later: the marks of both sides name its new primary.
 */
export function checkSharedDatabases(
  services: Readonly<Record<string, AnyServiceConfig>>,
  report: CheckReport,
): void {
  const earlier: [string, ServiceConfig][] = []
  for (const [name, service] of Object.entries(services)) {
    if (service.protocol !== 'postgres') continue
    const found = earlier.find(
      ([, other]) => (isMoved(service) || isMoved(other)) && shareDatabase(service, other),
    )
    if (found !== undefined)
      report.mistake(
        ['services', name],
        `has a database of services.${found[0]}, and a switch of one would shut the other out: ` +
          'make them one service, with several addresses in listen',
      )
    earlier.push([name, service])
  }
}

/** It has all that a cutover needs. */
function isMoved({ source, target }: ServiceConfig): boolean {
  return source.controlUser !== undefined && target.controlUser !== undefined
}

function shareDatabase(one: ServiceConfig, other: ServiceConfig): boolean {
  return (['source', 'target'] as const).some((name) => {
    const [mine, theirs] = [one[name], other[name]]
    if (mine.port !== theirs.port || !sameHost(mine.host, theirs.host)) return false
    const taken = new Set(namesOf(other, theirs))
    return namesOf(one, mine).some((database) => taken.has(database))
  })
}

/** None where clients say which they want. */
function namesOf({ databases = [] }: ServiceConfig, { database }: SideConfig): readonly string[] {
  return database === undefined ? databases : [database]
}
