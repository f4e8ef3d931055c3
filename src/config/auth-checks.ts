/** Checks of how clients prove themselves and how Pontoon does; part of service-checks.ts. */
import type { CheckReport } from './checks.ts'
import type { Path } from './mistake.ts'
import type { PasswordConfig, ServiceConfig, SideAuthConfig, SideConfig } from './schema.ts'
import { verifierKind } from './verifier.ts'

export function checkClientAuth(
  path: Path,
  service: ServiceConfig,
  open: boolean,
  report: CheckReport,
): void {
  const { mode, certMap, query } = service.clientAuth
  const at = [...path, 'clientAuth', 'mode']
  if (certMap !== undefined && mode !== 'cert')
    report.mistake([...path, 'clientAuth', 'certMap'], `is of no use: mode is ${mode}`)
  checkQuery([...path, 'clientAuth', 'query'], query, mode, report)
  switch (mode) {
    case 'trust':
      if (open) report.mistake(at, 'trust lets anyone in: listen on loopback or use scram')
      return
    case 'passthrough':
      if (open && service.clientTls.mode !== 'require') {
        const message = 'passthrough asks for cleartext passwords: beyond loopback it needs'
        report.mistake(at, `${message} clientTls with mode require`)
      }
      return
    case 'cert':
      checkCertificates(path, service, report)
      return
    case 'scram':
    case 'md5':
      checkVerifiers([...path, 'users'], mode, service, report)
  }
}

function checkCertificates(path: Path, service: ServiceConfig, report: CheckReport): void {
  const { mode, clientCa } = service.clientTls
  const at = [...path, 'clientTls']
  if (mode !== 'require') {
    report.mistake([...at, 'mode'], 'must be require: clientAuth cert needs a client certificate')
  }
  if (clientCa === undefined) {
    report.mistake(
      [...at, 'clientCa'],
      'is missing: clientAuth cert trusts certificates of that CA',
    )
  }
}

function checkQuery(
  path: Path,
  query: ServiceConfig['clientAuth']['query'],
  mode: ServiceConfig['clientAuth']['mode'],
  report: CheckReport,
): void {
  if (query === undefined) return
  if (mode !== 'scram' && mode !== 'md5') {
    report.mistake(path, `is of no use: mode ${mode} needs no verifiers`)
  }
  if (!/\$1(?!\d)/.test(query.sql)) {
    report.mistake([...path, 'sql'], 'does not ask for the user: the name stands for $1')
  }
}

function checkVerifiers(
  path: Path,
  mode: 'scram' | 'md5',
  { users = {}, clientAuth: { query } }: ServiceConfig,
  report: CheckReport,
): void {
  const entries = Object.entries(users)
  if (entries.length === 0 && query === undefined) {
    report.mistake(path, `is needed: clientAuth ${mode} must know who may come in`)
  }
  for (const [name, { verifier }] of entries) {
    const at = [...path, name, 'verifier']
    if (verifier === undefined) {
      if (query !== undefined) continue
      report.mistake(at, `is missing: clientAuth ${mode} needs it to prove the client`)
      continue
    }
    const kind = verifierKind(verifier)
    if (kind === 'damaged') {
      report.mistake(at, 'is a damaged SCRAM-SHA-256 verifier, copy it whole from pg_authid')
    } else if (kind === 'md5' && mode === 'scram') {
      // The other way round works: a SCRAM verifier makes mode md5 ask for SCRAM, as PostgreSQL does.
      report.mistake(at, 'is an md5 hash, which clientAuth scram cannot use')
    }
  }
}

interface Place {
  readonly password?: PasswordConfig | undefined
  readonly auth?: SideAuthConfig | undefined
}

/** Every place that logs in to this side: the side's own roles and the users' entries for it. */
export function checkLogins(
  path: Path,
  name: 'source' | 'target',
  service: ServiceConfig,
  report: CheckReport,
): void {
  const side = service[name]
  checkLogin([...path, name], side, side, report)
  for (const key of ['readUser', 'controlUser', 'replicationUser'] as const) {
    const role = side[key]
    if (role !== undefined) checkLogin([...path, name, key], role, side, report)
  }
  for (const [user, entry] of Object.entries(service.users ?? {})) {
    const own = entry[name]
    if (own !== undefined) checkLogin([...path, 'users', user, name], own, side, report)
  }
}

function checkLogin(path: Path, place: Place, side: SideConfig, report: CheckReport): void {
  const { password, auth } = place
  if (auth === undefined) return
  const at = [...path, 'auth']
  if (password !== undefined) report.mistake(at, 'and password exclude each other')
  // With prefer, a server that offers no TLS would be given the token in the clear.
  if (side.tls.mode === 'disable' || side.tls.mode === 'prefer') {
    report.mistake(at, `${auth.mode} needs tls.mode require or better, which is ${side.tls.mode}`)
  }
}
