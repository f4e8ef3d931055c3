/**
 * Two things the scripts do with processes beyond test/support/child-processes.ts: run a program
 * to its end for its output, and end a server in good order.
 */
import { spawn } from 'node:child_process'
import { processTree, signalAll, waitUntilGone } from '../test/support/child-processes.ts'
import type { Child } from '../test/support/child-processes.ts'

const stopDeadlineMs = 10_000

/** Returns what the program printed; throws with its words when it fails. */
export function execute(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    const output = () => Buffer.concat(chunks).toString()
    const failure = (what: string, cause?: unknown) =>
      new Error(`${command} ${args.join(' ')}: ${what}\n${output()}`, { cause })
    child.on('error', (error) => reject(failure(error.message, error)))
    child.on('close', (code) => {
      if (code === 0) resolve(output())
      else reject(failure(`exit code ${code}`))
    })
  })
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
