/** The checks of one Redis service; service-checks.ts has those of a PostgreSQL one. */
import type { CheckReport } from './checks.ts'
import { isLoopback, type ListenAddress } from './listen-address.ts'
import type { Path } from './mistake.ts'
import type { PhaseProfiles } from './phases.ts'
import type { RedisServiceConfig, RedisSideConfig } from './schema.ts'
import { checkClientTls, checkStart, pointsAt, sameHost } from './service-checks.ts'

export function checkRedisService(
  path: Path,
  service: RedisServiceConfig,
  listening: readonly ListenAddress[],
  phases: PhaseProfiles,
  report: CheckReport,
): void {
  const isOpen = listening.some((address) => !isLoopback(address))
  checkAuth(path, service, isOpen, report)
  checkClientTls([...path, 'clientTls'], service.clientTls, report)
  checkSide([...path, 'source'], service.source, listening, report)
  checkSide([...path, 'target'], service.target, listening, report)
  const { source, target } = service
  if (source.port === target.port && sameHost(source.host, target.host))
    report.mistake([...path, 'target'], 'is the same database as source')
  checkStart([...path, 'route'], service.route, phases, report)
}

function checkAuth(
  path: Path,
  { clientAuth, users, source, target }: RedisServiceConfig,
  isOpen: boolean,
  report: CheckReport,
): void {
  if (clientAuth.mode === 'trust') {
    const at = [...path, 'clientAuth', 'mode']
    if (isOpen) report.mistake(at, 'trust lets anyone in: listen on loopback or use password')
    return
  }
  if (clientAuth.mode === 'passthrough') {
    const words = 'is of no use: with passthrough the primary side knows who may come in'
    if (users !== undefined) report.mistake([...path, 'users'], words)
    for (const [name, { auth }] of Object.entries({ source, target }))
      if (auth !== undefined) report.mistake([...path, name, 'auth'], words)
    return
  }
  const entries = Object.entries(users ?? {})
  if (entries.length === 0)
    report.mistake([...path, 'users'], 'is needed: clientAuth password must know who may come in')
  for (const [name, { verifier }] of entries) {
    if (verifier !== undefined) continue
    const at = [...path, 'users', name, 'verifier']
    report.mistake(at, 'is missing: clientAuth password needs it to prove the client')
  }
}

function checkSide(
  path: Path,
  side: RedisSideConfig,
  listening: readonly ListenAddress[],
  report: CheckReport,
): void {
  const { tls } = side
  const pairs = [
    ['cert', 'key'],
    ['key', 'cert'],
  ] as const
  for (const [given, needed] of pairs) {
    if (tls[given] === undefined || tls[needed] !== undefined) continue
    report.mistake([...path, 'tls', needed], `is missing: ${given} is of no use without it`)
  }
  if (tls.ca !== undefined && !tls.mode.startsWith('verify-'))
    report.warning([...path, 'tls', 'ca'], `has no effect: mode ${tls.mode} verifies nothing`)
  if (side.auth !== undefined) {
    if (side.password !== undefined)
      report.mistake([...path, 'auth'], 'and password exclude each other')
    // A token opens the cache for 15 minutes to whoever has seen it.
    if (tls.mode === 'disable')
      report.mistake([...path, 'tls', 'mode'], 'must not be disable: auth sends a token as it is')
  }
  for (const [index, node] of (side.sentinels?.nodes ?? []).entries()) {
    if (!/^.+:\d{1,5}$/.test(node))
      report.mistake([...path, 'sentinels', 'nodes', index], `${node} is not host:port`)
  }
  if (side.cluster && side.sentinels !== undefined)
    report.mistake([...path, 'sentinels'], 'is of no use with a cluster, which elects by itself')
  if (pointsAt(side, listening))
    report.mistake([...path, 'host'], `leads back to the service itself (port ${side.port})`)
}
