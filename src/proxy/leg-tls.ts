/**
 * TLS of a service's legs, as its certificate files are now: towards clients and towards each
 * side. service.ts has it look once a second and at a reload.
 */
import type { ClientTlsConfig, ServerTlsConfig } from '../config/schema.ts'
import {
  clientTls,
  clientTlsFiles,
  serverTls,
  serverTlsFiles,
  type ClientTls,
  type ServerTls,
} from '../net/tls.ts'
import { TlsFiles, type TlsFilesOptions } from '../net/tls-files.ts'
import type { Clock } from '../shared/clock.ts'
import type { Log } from '../shared/log.ts'
import { sides, type Side } from '../shared/side.ts'
import type { CertificateSnapshot } from './service.ts'

interface TlsSide {
  readonly host: string
  readonly tls: ServerTlsConfig
}

/** What of a service's configuration is about TLS. */
export interface LegTlsConfig extends Readonly<Record<Side, TlsSide>> {
  readonly clientTls: ClientTlsConfig
}

export class LegTls {
  readonly #client: TlsFiles<ClientTls | null>
  readonly #sides: Readonly<Record<Side, TlsFiles<ServerTls>>>

  /** Throws CONFIG_INVALID when a certificate cannot be used. */
  constructor(service: string, config: LegTlsConfig, clock: Clock, log: Log) {
    const named = (leg: string): Pick<TlsFilesOptions<unknown>, 'name' | 'clock' | 'log'> => ({
      name: `${leg} of ${service}`,
      clock,
      log,
    })
    const ofSide = (side: Side): TlsFiles<ServerTls> => {
      const { tls, host } = config[side]
      const files = serverTlsFiles(tls)
      return new TlsFiles({ ...named(`the ${side}`), files, make: () => serverTls(tls, host) })
    }
    this.#client = new TlsFiles({
      ...named('the client leg'),
      files: clientTlsFiles(config.clientTls),
      make: () => clientTls(config.clientTls),
    })
    this.#sides = { source: ofSide('source'), target: ofSide('target') }
  }

  /** Null when clients may not use TLS. */
  get client(): ClientTls | null {
    return this.#client.current
  }

  side(side: Side): ServerTls {
    return this.#sides[side].current
  }

  /** Takes files that have changed; `asks` as in tls-files.ts. */
  look(asks = false): void {
    this.#client.look(asks)
    for (const side of sides) this.#sides[side].look(asks)
  }

  /** Of each leg that has files, for people and metrics. */
  snapshots(): readonly CertificateSnapshot[] {
    const legs = [
      ['client', this.#client],
      ['source', this.#sides.source],
      ['target', this.#sides.target],
    ] as const
    return legs.flatMap(([leg, { hasFiles, expiresMs, problem }]) =>
      hasFiles ? [{ leg, expiresMs, problem }] : [],
    )
  }
}
