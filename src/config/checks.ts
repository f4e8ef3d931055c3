/**
 * What one value of the configuration says about another, which no schema can express. The
 * checks run on what is left of a file after its single mistakes were taken out, so that all
 * mistakes show at once. service-checks.ts has those of one service.
 */
import { PontoonError } from '../shared/errors.ts'
import {
  formatListenAddress,
  isLoopback,
  overlaps,
  parseListenAddress,
  type ListenAddress,
} from './listen-address.ts'
import { formatPath, type Path } from './mistake.ts'
import type { PhaseProfiles } from './phases.ts'
import type { AdminConfig, Config } from './schema.ts'
import { checkRedisService } from './redis-checks.ts'
import { checkService, checkSharedDatabases } from './service-checks.ts'

export interface CheckReport {
  mistake(path: Path, message: string): void
  /** Works, but is probably not what was meant. */
  warning(path: Path, message: string): void
}

interface Listening {
  readonly path: Path
  readonly address: ListenAddress
}

export function checkConfig(config: Config, phases: PhaseProfiles, report: CheckReport): void {
  if (Object.keys(config.services).length === 0) {
    report.mistake(['services'], 'names no service')
  }
  const adminAddresses = httpAddresses(['admin', 'listen'], config.admin.listen, report)
  checkAdmin(config.admin, adminAddresses, report)
  const probeAddresses =
    config.probe === undefined
      ? []
      : httpAddresses(['probe', 'listen'], config.probe.listen, report)
  const all = [...adminAddresses, ...probeAddresses]
  for (const [name, service] of Object.entries(config.services)) {
    const path = ['services', name]
    const listening = addressesOf([...path, 'listen'], service.listen, report)
    const addresses = listening.map(({ address }) => address)
    if (service.protocol === 'redis') checkRedisService(path, service, addresses, phases, report)
    else checkService(path, service, addresses, phases, report)
    all.push(...listening)
  }
  checkSharedDatabases(config.services, report)
  checkOverlaps(all, report)
}

function addressesOf(
  path: Path,
  value: string | readonly string[],
  report: CheckReport,
): readonly Listening[] {
  if (typeof value !== 'string') {
    return value.flatMap((text, index) => addressesOf([...path, index], text, report))
  }
  try {
    return parseListenAddress(value).map((address) => ({ path, address }))
  } catch (error) {
    if (!(error instanceof PontoonError)) throw error
    report.mistake(path, error.message)
    return []
  }
}

/** The admin and probe listeners speak HTTP, which nobody reaches over a Unix socket. */
function httpAddresses(path: Path, value: string, report: CheckReport): readonly Listening[] {
  const addresses = addressesOf(path, value, report)
  if (addresses.some(({ address }) => address.kind === 'unix')) {
    report.mistake(path, 'cannot be a Unix socket: expected address:port')
  }
  return addresses
}

function checkAdmin(
  admin: AdminConfig,
  addresses: readonly Listening[],
  report: CheckReport,
): void {
  if (addresses.some(({ address }) => !isLoopback(address))) {
    if (admin.tokens.length === 0) {
      report.mistake(['admin', 'tokens'], `is needed because admin listens on ${admin.listen}`)
    }
    if (admin.tls === undefined) {
      report.mistake(['admin', 'tls'], `is needed because admin listens on ${admin.listen}`)
    }
  }
  for (const key of ['name', 'secret'] as const) {
    const seen = new Set<string>()
    for (const [index, token] of admin.tokens.entries()) {
      if (seen.has(token[key])) {
        report.mistake(['admin', 'tokens', index, key], 'is the same as that of an earlier token')
      }
      seen.add(token[key])
    }
  }
}

function checkOverlaps(all: readonly Listening[], report: CheckReport): void {
  for (const [index, { path, address }] of all.entries()) {
    const earlier = all.slice(0, index).find((other) => overlaps(other.address, address))
    if (earlier === undefined) continue
    const text = formatListenAddress(address)
    report.mistake(path, `${text} is taken by ${formatPath(earlier.path)}`)
  }
}
