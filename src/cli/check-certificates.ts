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

const dayMs = 86_400_000
const expiresSoonDays = 30

/** What clients of a service will be shown; null where they may not use TLS. */
export function checkClientTls(service: string, config: ClientTlsConfig): CertificateReport | null {
  try {
    const { made, expiresMs } = clientTls(config)
    if (made === null || expiresMs === null) return null
    const text = `can be used, expires ${new Date(expiresMs).toUTCString()}`
    const warnings = certificateWarnings(new Date(expiresMs))
    return { service, ok: true, text, code: null, warnings }
  } catch (thrown) {
    const { message, code } = toPontoonError(thrown)
    return { service, ok: false, text: message, code, warnings: [] }
  }
}

export function certificateWarnings(expires: Date | null): readonly string[] {
  if (expires === null) return []
  const days = Math.floor((expires.getTime() - Date.now()) / dayMs)
  if (days < 0) return [`the certificate has expired ${-days} days ago`]
  return days < expiresSoonDays ? [`the certificate expires in ${days} days`] : []
}
