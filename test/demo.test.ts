/**
 * The demo end to end, as a user runs it (`npm run demo` builds first): its verdict, and that
 * neither its end nor Ctrl-C leaves a process behind.
 */
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isAlive, processTree, waitUntilGone } from './support/child-processes.ts'

const root = join(import.meta.dirname, '..')
const demoArgs = [
  '--import=tsx',
  join(root, 'scripts', 'demo.ts'),
  '--port',
  '0',
  '--admin-port',
  '0',
]
const startDeadlineMs = 60_000
const stopDeadlineMs = 30_000

if (!existsSync(join(root, 'dist', 'main.js'))) {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' })
}

await t.test('moves the reads there and back without an error', async (test) => {
  const demo = startDemo(['--seconds', '2'])
  const code = await demo.exited
  const output = demo.output()
  test.equal(code, 0, 'exit code')
  if (code !== 0) test.comment(output)
  test.match(output, /pontoon shift orders --reads 50/)
  test.match(output, /no error; the application was never told/)
  test.match(output, /source +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d/, 'latencies are printed')
  test.notMatch(output, /not as expected/)
})

await t.test('Ctrl-C leaves no process behind', async (test) => {
  const demo = startDemo(['--seconds', '60'])
  await demo.until(/shift orders --reads 0/)
  const tree = processTree(demo.pid)
  // The demo itself, two postmasters with their backends, the sidecar and the application.
  test.ok(tree.length > 10, `${tree.length} processes`)
  test.ok(tree.every(isAlive))
  process.kill(demo.pid, 'SIGINT')
  test.equal(await demo.exited, 130, 'exit code')
  await waitUntilGone(tree, stopDeadlineMs)
  test.notOk(tree.some(isAlive))
})

await t.test('a mistake on the command line is named', async (test) => {
  const demo = startDemo(['--seconds', 'soon'])
  test.equal(await demo.exited, 2, 'exit code')
  test.match(demo.output(), /--seconds: soon is not a whole number/)
})

function startDemo(args: readonly string[]) {
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
