/** twemproxy (nutcracker) as Debian packages it, with Redis as its only server. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePort } from '../../../test/support/free-port.ts'
import { makeProxyFolder, startProxy } from '../proxy-process.ts'
import { untilServing } from './peers.ts'
import type { RedisPeer, RedisProxySettings } from './peers.ts'

const binary = '/usr/sbin/nutcracker'

export async function startTwemproxy(settings: RedisProxySettings): Promise<RedisPeer> {
  const [port, statsPort] = [await freePort(), await freePort()]
  const folder = makeProxyFolder('twemproxy', undefined)
  const configFile = join(folder, 'nutcracker.yml')
  writeFileSync(configFile, stringify(configuration(settings, port)))
  const stats = ['-a', '127.0.0.1', '-s', String(statsPort)]
  const started = await startProxy({
    name: 'twemproxy',
    command: binary,
    args: [
      '-c',
      configFile,
      ...stats,
      '-v',
      '4',
      '-o',
      join(folder, 'log'),
      '-p',
      join(folder, 'pid'),
    ],
    folder,
    user: undefined,
    untilAnswering: (isRunning) => untilServing(port, isRunning),
  })
  return { name: 'twemproxy', version: versionOf(), port, ...started }
}

function configuration(settings: RedisProxySettings, port: number): object {
  return {
    bench: {
      listen: `127.0.0.1:${port}`,
      redis: true,
      preconnect: true,
      server_connections: settings.poolSize,
      client_connections: settings.clientsMax,
      servers: [`127.0.0.1:${settings.redisPort}:1`],
    },
  }
}

function versionOf(): string {
  const { stderr, stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' })
  return /nutcracker-(\S+)/.exec(stdout + stderr)?.[1] ?? 'unknown'
}
