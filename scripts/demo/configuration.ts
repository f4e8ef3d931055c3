/** The demo's pontoon.yml and the environment with its secrets, as in a real installation. */
import { stringify } from 'yaml'
import { postgres15BinFolder } from '../lib/requirements.ts'
import type { Databases } from './databases.ts'
import { applicationRole, databaseName } from './schema.ts'

export interface SidecarPorts {
  readonly service: number
  readonly admin: number
}

export const serviceName = 'orders'

export function configuration(databases: Databases, ports: SidecarPorts): string {
  const { source, target, caPath, caPathAtSource } = databases
  const password = '${SHOP_PASSWORD}'
  return stringify({
    admin: {
      listen: `127.0.0.1:${ports.admin}`,
      tokens: [{ name: 'demo', role: 'operator', secret: '${PONTOON_TOKEN}' }],
    },
    state: { file: './state' },
    services: {
      [serviceName]: {
        protocol: 'postgres',
        listen: `localhost:${ports.service}`,
        databases: [databaseName],
        clientAuth: { mode: 'scram' },
        users: {
          [applicationRole]: { verifier: password, source: { password }, target: { password } },
        },
        pool: { mode: 'transaction', size: 10 },
        source: {
          host: source.host,
          port: source.port,
          tls: { mode: 'disable' },
          ...pontoonUsers(),
        },
        target: {
          host: 'localhost',
          port: target.port,
          tls: { mode: 'verify-full', ca: caPath },
          tlsSeenFromOtherSide: { mode: 'verify-full', ca: caPathAtSource },
          ...pontoonUsers(),
        },
        // A machine that also runs the databases and the shop may be slow for a moment.
        migration: { lagMaxMs: 1_000 },
        route: { phase: 'self-hosted' },
      },
    },
  })
}

function pontoonUsers() {
  const password = '${PONTOON_PASSWORD}'
  return {
    controlUser: { user: 'pontoon_control', password },
    replicationUser: { user: 'pontoon_repl', password },
    readUser: { user: 'pontoon_read', password },
  }
}

export function secretsOf(
  databases: Databases,
  token: string,
  adminUrl: string,
): Readonly<Record<string, string>> {
  const { passwords, administrators } = databases
  return {
    PONTOON_TOKEN: token,
    PONTOON_ADMIN: adminUrl,
    SHOP_PASSWORD: passwords.application,
    PONTOON_PASSWORD: passwords.pontoon,
    PONTOON_SOURCE_ADMIN: administrators.source,
    PONTOON_TARGET_ADMIN: administrators.target,
    // pg_dump of the very version that the demo has installed.
    PATH: `${postgres15BinFolder}:${process.env['PATH'] ?? ''}`,
  }
}
