/**
 * Starts a proxy as a child with its log in a file, waits until it answers, and stops it.
 * Neighbours: pgbouncer.ts, twemproxy.ts and the Pontoons say what to start; child-processes.ts keeps the promise
 * that nothing outlives the benchmark.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startChild } from '../../test/support/child-processes.ts'
import { giveTo } from '../../test/support/system-user.ts'
import type { SystemUser } from '../../test/support/system-user.ts'
import { endChild } from '../processes.ts'

export interface ProxyCommand {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly folder: string
  readonly user: SystemUser | undefined
  /** Resolves when it serves; given up when the process ends. */
  untilAnswering(isRunning: () => boolean): Promise<void>
}

export interface ProxyProcess {
  /** The process whose CPU time counts as the proxy's. */
  readonly proxyPid: number
  /** What it has logged so far, for the message of a failed run. */
  log(): string
  stop(): Promise<void>
}

const logTailCharacters = 4_000

/** A folder for the proxy's files that its user can read and write. */
export function makeProxyFolder(name: string, user: SystemUser | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), `pontoon-bench-${name}-`))
  giveTo(user, folder)
  return folder
}

export async function startProxy(proxy: ProxyCommand): Promise<ProxyProcess> {
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
  const started: ProxyProcess = {
    proxyPid: child.pid,
    log: () => readFileSync(logFile, 'utf8').slice(-logTailCharacters),
    stop: async () => {
      await endChild(child)
      removeFolder()
    },
  }
  try {
    await proxy.untilAnswering(() => child.isRunning())
  } catch (error) {
    const words = started.log()
    await started.stop()
    throw new Error(`${proxy.name} does not answer: ${String(error)}\n${words}`, { cause: error })
  }
  return started
}
