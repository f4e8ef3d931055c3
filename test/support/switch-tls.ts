/** TLS towards the target of switch-pair.ts, with a certificate of an authority of its own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Authority } from './certificates.ts'
import type { PostgresServer, PostgresTls } from './postgres.ts'

export interface TargetTls {
  readonly authority: Authority
  /** Who comes without TLS is let in too: that nobody does is for a test to show. */
  readonly server: PostgresTls
}

export async function makeTargetTls(authority: Authority): Promise<TargetTls> {
  const { cert, key } = await authority.server({ names: ['localhost'] })
  return { authority, server: { cert, key } }
}

/** The server of the source cannot read our folder, so what it verifies with lies in its own. */
export function targetTlsText({ authority }: TargetTls, source: PostgresServer): string {
  const caAtSource = join(source.folder, 'target-ca.pem')
  writeFileSync(caAtSource, authority.ca.cert, { mode: 0o644 })
  return (
    `host: localhost, tls: { mode: verify-full, ca: ${authority.ca.certPath} }, ` +
    `tlsSeenFromOtherSide: { mode: verify-full, ca: ${caAtSource} }`
  )
}
