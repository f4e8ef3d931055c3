/**
 * Child processes that never outlive this one. Every child is followed by its pid: it is ended when
 * this process exits for whatever reason, an uncaught exception or a signal included, and by the
 * kernel (parent-death signal) when this process is killed with SIGKILL and can do nothing itself.
 * Used by postgres.ts, by scripts/demo and by scripts/bench; knows nothing about databases or tests.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { SystemUser } from './system-user.ts'

export interface ChildOptions {
  readonly user?: SystemUser | undefined
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly stdio?: StdioOptions
  /** What ends the child when this process goes away; SIGKILL follows when it does not listen. */
  readonly exitSignal?: NodeJS.Signals
}

export interface Child {
  readonly process: ChildProcess
  readonly pid: number
  /** Resolves when the process is gone, with its exit code or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  isRunning(): boolean
}

const running = new Map<
  number,
  { readonly exitSignal: NodeJS.Signals; readonly onExit: () => void }
>()
const setprivPath = '/usr/bin/setpriv'
const exitWaitMs = 2_000
let hooked = false

/** `onExit` runs synchronously after the child was ended by the exit of this process. */
export async function startChild(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
  onExit: () => void = () => undefined,
): Promise<Child> {
  hookExit()
  const exitSignal = options.exitSignal ?? 'SIGTERM'
  const [file, argv] = withDeathSignal(command, args, exitSignal)
  const process = spawn(file, argv, {
    stdio: options.stdio ?? 'ignore',
    // Its own process group: Ctrl-C reaches this process only, which then decides the order.
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
  })
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    process.once('exit', (code, signal) => {
      if (process.pid !== undefined) running.delete(process.pid)
      resolve(signal ?? code ?? 0)
    })
  })
  await new Promise<void>((resolve, reject) => {
    process.once('spawn', resolve)
    process.once('error', reject)
  })
  const pid = process.pid
  if (pid === undefined) throw new Error(`${command} has no pid`)
  if (process.exitCode === null && process.signalCode === null) {
    running.set(pid, { exitSignal, onExit })
  }
  return { process, pid, exited, isRunning: () => running.has(pid) }
}

/** The process and everything below it, parents first. */
export function processTree(pid: number): number[] {
  const childrenOf = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const child = Number(entry)
    if (!Number.isInteger(child)) continue
    const parent = parentOf(child)
    if (parent === undefined) continue
    const siblings = childrenOf.get(parent)
    if (siblings === undefined) childrenOf.set(parent, [child])
    else siblings.push(child)
  }
  const tree = [pid]
  for (const member of tree) tree.push(...(childrenOf.get(member) ?? []))
  return tree
}

export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // Already gone, which is what most callers want.
    }
  }
}

/** A zombie counts as gone: it holds no memory, socket or lock any more. */
export function isAlive(pid: number): boolean {
  const fields = statFields(pid)
  return fields !== undefined && fields[0] !== 'Z'
}

export async function waitUntilGone(pids: readonly number[], deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs
  while (pids.some(isAlive)) {
    if (performance.now() > deadline)
      throw new Error(`still running: ${pids.filter(isAlive).join()}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1]
  return parent === undefined ? undefined : Number(parent)
}

/** Fields of /proc/PID/stat from the state on; the name before them may contain blanks. */
function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

function withDeathSignal(
  command: string,
  args: readonly string[],
  signal: NodeJS.Signals,
): [string, string[]] {
  if (!existsSync(setprivPath)) return [command, [...args]]
  return [setprivPath, ['--pdeathsig', signal.replace('SIG', ''), command, ...args]]
}

function hookExit(): void {
  if (hooked) return
  hooked = true
  process.once('exit', endAllNow)
  const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
  for (const [signal, code] of Object.entries(exitCodes)) {
    process.on(signal, () => {
      // A program with a handler of its own (the demo) ends in its own order and reaches 'exit'.
      // Below tap nobody else leaves: its handlers wait until they are alone.
      const own = process.listenerCount(signal) - waitingListeners()
      if (own === 1 || process.env['TAP'] !== undefined) process.exit(code)
    })
  }
}

/**
 * The package signal-exit, which tap preloads into every child, listens to each signal but acts only
 * when it is alone. It keeps its number of listeners where its own copies find each other.
 */
function waitingListeners(): number {
  const emitter: unknown = Reflect.get(globalThis, Symbol.for('signal-exit emitter'))
  if (typeof emitter !== 'object' || emitter === null || !('count' in emitter)) return 0
  return Number(emitter.count)
}

/** Synchronous, because nothing asynchronous runs any more once the process is exiting. */
function endAllNow(): void {
  const trees = new Map<number, number[]>()
  for (const [pid, { exitSignal }] of running) {
    const tree = processTree(pid)
    trees.set(pid, tree)
    signalAll([pid], exitSignal)
    signalAll(tree, 'SIGCONT')
  }
  const all = [...trees.values()].flat()
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const deadline = performance.now() + exitWaitMs
  while (all.some(isAlive) && performance.now() < deadline) Atomics.wait(pause, 0, 0, 5)
  signalAll(all, 'SIGKILL')
  for (const { onExit } of running.values()) onExit()
  running.clear()
}
