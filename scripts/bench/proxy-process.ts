/**
 * Starts a proxy as a child with its log in a file, waits until it answers, and stops it.
 * Neighbours: pgbouncer.ts and pontoon.ts say what to start; child-processes.ts keeps the promise
 * that nothing outlives the benchmark.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startChild } from '../../test/support/child-processes.ts'
import { giveTo } from '../../test/support/system-user.ts'
import type { SystemUser } from '../../test/support/system-user.ts'
import { endChild } from '../processes.ts'
import { untilAnswering } from './peer.ts'
import type { Peer } from './peer.ts'
import type { PeerName } from './options.ts'

export interface ProxyCommand {
  readonly name: PeerName
  readonly version: string
  readonly command: string
  readonly args: readonly string[]
  readonly folder: string
  readonly user: SystemUser | undefined
  readonly target: Peer['target']
}

const logTailCharacters = 4_000

/** A folder for the proxy's files that its user can read and write. */
export function makeProxyFolder(name: PeerName, user: SystemUser | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), `pontoon-bench-${name}-`))
  giveTo(user, folder)
  return folder
}

export async function startProxy(proxy: ProxyCommand): Promise<Peer> {
  const logFile = join(proxy.folder, 'log')
  const log = openSync(logFile, 'a')
  const removeFolder = () => rmSync(proxy.folder, { recursive: true, force: true })
  const child = await startChild(
    proxy.command,
    proxy.args,
    { user: proxy.user, cwd: proxy.folder, stdio: ['ignore', log, log] },
    removeFolder,
  )
  closeSync(log)
  const peer: Peer = {
    name: proxy.name,
    version: proxy.version,
    target: proxy.target,
    proxyPid: child.pid,
    log: () => readFileSync(logFile, 'utf8').slice(-logTailCharacters),
    stop: async () => {
      await endChild(child)
      removeFolder()
    },
  }
  try {
    await untilAnswering(proxy.target, () => child.isRunning())
  } catch (error) {
    const words = peer.log()
    await peer.stop()
    throw new Error(`${proxy.name} does not answer: ${String(error)}\n${words}`, { cause: error })
  }
  return peer
}
