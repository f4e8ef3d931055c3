/** The part of `pontoon check` about certificates: can they be used, and for how long? */
import type { ClientTlsConfig } from '../config/schema.ts'
import { clientTls } from '../net/tls.ts'
import { toPontoonError } from '../shared/errors.ts'

export interface CertificateReport {
  readonly service: string
  readonly ok: boolean
  readonly text: string
  readonly code: string | null
  readonly warnings: readonly string[]
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const expiresSoonDays = 30

/** What clients of a service will be shown; null where they may not use TLS. */
export function checkClientTls(service: string, config: ClientTlsConfig): CertificateReport | null {
  try {
    const { made, validFromMs, expiresMs } = clientTls(config)
    if (made === null || expiresMs === null) return null
    const text = `can be used, expires ${new Date(expiresMs).toUTCString()}`
    const warnings = [
      ...earlyWarnings(new Date(validFromMs ?? 0)),
      ...certificateWarnings(new Date(expiresMs)),
    ]
    return { service, ok: true, text, code: null, warnings }
  } catch (thrown) {
    const { message, code } = toPontoonError(thrown)
    return { service, ok: false, text: message, code, warnings: [] }
  }
}

export function certificateWarnings(expires: Date | null): readonly string[] {
  if (expires === null) return []
  const leftMs = expires.getTime() - Date.now()
  if (leftMs < 0)
    return [`the certificate has expired ${spanOf(-leftMs)} ago: who verifies it refuses it`]
  return leftMs < expiresSoonDays * dayMs ? [`the certificate expires in ${spanOf(leftMs)}`] : []
}

function earlyWarnings(validFrom: Date): readonly string[] {
  if (validFrom.getTime() <= Date.now()) return []
  const text = `the certificate is not valid before ${validFrom.toUTCString()}`
  return [`${text}: who verifies it refuses it until then`]
}

function spanOf(ms: number): string {
  if (ms < hourMs) return 'less than an hour'
  const [unit, count] =
    ms < 2 * dayMs ? ['hour', Math.floor(ms / hourMs)] : ['day', Math.floor(ms / dayMs)]
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
