/** The demo as a process; scripts/test.ts has built the program that it runs. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { Test } from 'tap'
import { programArgs } from './program.ts'

const root = join(import.meta.dirname, '..', '..')
const demoArgs = [...programArgs('scripts/demo.ts'), '--port', '0', '--admin-port', '0']
const startDeadlineMs = 60_000

export function startDemo(t: Pick<Test, 'teardown'>, args: readonly string[]) {
  const child: ChildProcess = spawn(process.execPath, [...demoArgs, ...args], { cwd: root })
  t.teardown(() => child.kill('SIGTERM'))
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const { pid } = child
  if (pid === undefined) throw new Error('the demo has no pid')
  const until = async (pattern: RegExp) => {
    const deadline = performance.now() + startDeadlineMs
    while (!pattern.test(text)) {
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`no ${String(pattern)} in:\n${text}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  return { pid, exited, output: () => text, until }
}
