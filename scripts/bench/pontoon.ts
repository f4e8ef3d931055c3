/**
 * Pontoon as it is installed (`node dist/main.js serve`), set up like PgBouncer: transaction
 * mode, the same pool size, quiet, everybody trusted. Both sides are the same PostgreSQL, so that
 * `--reads` shows the cost of routing and nothing else.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { freePort } from '../../test/support/free-port.ts'
import { proxyTarget, untilAnswering } from './peer.ts'
import type { Peer, ProxySettings } from './peer.ts'
import { makeProxyFolder, startProxy } from './proxy-process.ts'

const main = join(import.meta.dirname, '..', '..', 'dist', 'main.js')
/** A benchmark may make clients wait; an error because of it would end the run. */
const queueTimeoutMs = 60_000

export async function startPontoon(settings: ProxySettings): Promise<Peer> {
  const port = await freePort()
  const adminPort = await freePort()
  const folder = makeProxyFolder('pontoon', undefined)
  const configFile = join(folder, 'database.yml')
  writeFileSync(configFile, stringify(configuration(settings, port, adminPort, folder)))
  const target = proxyTarget(settings, port)
  const started = await startProxy({
    name: 'pontoon',
    command: process.execPath,
    args: [main, 'serve', '--config', configFile],
    folder,
    user: undefined,
    untilAnswering: (isRunning) => untilAnswering(target, isRunning),
  })
  return { name: 'pontoon', version: manifest.version, target, ...started }
}

function configuration(settings: ProxySettings, port: number, adminPort: number, folder: string) {
  const side = {
    host: '127.0.0.1',
    port: settings.postgresPort,
    tls: { mode: settings.tlsServer ? 'require' : 'disable' },
  }
  return {
    admin: { listen: `127.0.0.1:${adminPort}` },
    state: { file: join(folder, 'state') },
    log: { level: 'warn' },
    services: {
      bench: {
        protocol: 'postgres',
        listen: `127.0.0.1:${port}`,
        clientAuth: { mode: 'trust' },
        pool: {
          mode: 'transaction',
          size: settings.poolSize,
          queueMax: settings.clientsMax,
          queueTimeoutMs,
        },
        limits: { clientsMax: settings.clientsMax },
        source: side,
        // The same side twice is refused. Named here and asked for by the client there, the
        // database is the same all the same.
        target: { ...side, database: settings.database },
        route: { phase: 'self-hosted', reads: settings.reads },
      },
    },
  }
}
