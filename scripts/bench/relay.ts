/** The bare relay of relay-process.ts as a peer: what of Pontoon's distance is Node's. */
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { proxyTarget, untilAnswering } from './peer.ts'
import type { Peer, ProxySettings } from './peer.ts'
import { makeProxyFolder, startProxy } from './proxy-process.ts'

const main = join(import.meta.dirname, 'relay-process.ts')

export async function startRelay(settings: ProxySettings): Promise<Peer> {
  if (settings.tlsServer) throw new Error('the bare relay knows no TLS')
  const port = await freePort()
  const target = proxyTarget(settings, port)
  const started = await startProxy({
    name: 'relay',
    command: process.execPath,
    args: [
      `--import=${import.meta.resolve('tsx')}`,
      main,
      String(port),
      String(settings.postgresPort),
    ],
    folder: makeProxyFolder('relay', undefined),
    user: undefined,
    untilAnswering: (isRunning) => untilAnswering(target, isRunning),
  })
  return { name: 'relay', version: process.version, target, ...started }
}
