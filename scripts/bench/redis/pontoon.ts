/**
 * Pontoon as it is installed (`node dist/main.js serve`), multiplexed, quiet, everybody trusted. Its
 * two sides are the plain and the TLS port of the same Redis; which one is the source, and so gets
 * all the traffic, makes the two peers.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import manifest from '../../../package.json' with { type: 'json' }
import { freePort } from '../../../test/support/free-port.ts'
import { makeProxyFolder, startProxy } from '../proxy-process.ts'
import { untilServing } from './peers.ts'
import type { RedisPeer, RedisProxySettings } from './peers.ts'

const main = join(import.meta.dirname, '..', '..', '..', 'dist', 'main.js')

export async function startPontoon(
  settings: RedisProxySettings,
  name: 'pontoon' | 'pontoon-tls',
): Promise<RedisPeer> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const folder = makeProxyFolder(name, undefined)
  const configFile = join(folder, 'database.yml')
  const plain = { host: '127.0.0.1', port: settings.redisPort, tls: { mode: 'disable' } }
  const tls = {
    host: 'localhost',
    port: settings.redisTlsPort,
    tls: { mode: 'verify-full', ca: settings.caFile },
  }
  const sides = name === 'pontoon' ? { source: plain, target: tls } : { source: tls, target: plain }
  const bench = {
    protocol: 'redis',
    listen: `127.0.0.1:${port}`,
    clientAuth: { mode: 'trust' },
    pool: { mode: 'multiplexed', size: settings.poolSize },
    limits: { clientsMax: settings.clientsMax },
    ...sides,
    route: { phase: 'self-hosted' },
  }
  const configuration = {
    admin: { listen: `127.0.0.1:${adminPort}` },
    state: { file: join(folder, 'state') },
    log: { level: 'warn' },
    services: { bench },
  }
  writeFileSync(configFile, stringify(configuration))
  const started = await startProxy({
    name,
    command: process.execPath,
    args: [main, 'serve', '--config', configFile],
    folder,
    user: undefined,
    untilAnswering: (isRunning) => untilServing(port, isRunning),
  })
  return { name, version: manifest.version, port, ...started }
}
