/**
 * Two things the scripts do with processes beyond test/support/child-processes.ts: run a program
 * to its end for its output, and end a server in good order.
 */
import { spawn } from 'node:child_process'
import { processTree, signalAll, waitUntilGone } from '../test/support/child-processes.ts'
import type { Child } from '../test/support/child-processes.ts'

const stopDeadlineMs = 10_000

export interface RunOptions {
  readonly cwd?: string
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

export interface Ended {
  /** Null after a signal. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Returns what the program printed; throws with its words when it fails. */
export async function execute(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const { code, stdout, stderr } = await runToEnd(command, args, { env, signal })
  if (code === 0) return stdout + stderr
  throw new Error(`${command} ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`)
}

/** Rejects only when it cannot be run or `signal` ends it. */
export function runToEnd(
  command: string,
  args: readonly string[],
  { cwd, env, signal }: RunOptions,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.on('error', (error) => {
      const words = `${command} ${args.join(' ')}: ${error.message}\n${text(out)}${text(err)}`
      reject(new Error(words, { cause: error }))
    })
    child.on('close', (code) => resolve({ code, stdout: text(out), stderr: text(err) }))
  })
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString()
}

/** Asks the process to end, and makes it and everything below it end when it does not. */
export async function endChild(child: Child): Promise<void> {
  const tree = processTree(child.pid)
  signalAll([child.pid], 'SIGTERM')
  try {
    await waitUntilGone(tree, stopDeadlineMs)
  } catch {
    signalAll(tree, 'SIGKILL')
    await waitUntilGone(tree, stopDeadlineMs)
  }
  await child.exited
}
