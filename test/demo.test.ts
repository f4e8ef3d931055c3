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

await t.test(
  'moves a shop there, back, and there again, without an error or a loss',
  async (test) => {
    const demo = startDemo(['--seconds', '1', '--orders', '2000'])
    const code = await demo.exited
    const output = demo.output()
    test.equal(code, 0, 'exit code')
    if (code !== 0) test.comment(output)
    const commands = [
      'schema orders --dry-run',
      'schema orders',
      'copy orders',
      'schema orders --post-data',
      'sync orders',
      'verify orders',
      'shift orders --reads 10',
      'shift orders --reads 50',
      'shift orders --reads 100',
      'cutover orders --dry-run',
      'cutover orders',
      'rollback orders',
      'cutover orders',
      'verify orders',
    ]
    const run = [...output.matchAll(/^\$ pontoon (.*)$/gm)].map(([, command]) => command)
    // A switch that was put back is tried again.
    test.same(
      run.filter((command, index) => command !== run[index - 1]),
      commands,
    )
    test.match(output, /pauses: cutover \d+ ms, rollback \d+ ms, cutover \d+ ms/)
    test.match(output, /requests: \d+, errors seen by the application: 0/)
    test.match(output, /records lost: 0, records duplicated: 0/)
    test.match(output, /no error, nothing lost, nothing twice; the shop was never told/)
    test.notMatch(output, /not as expected/)
  },
)

await t.test('Ctrl-C leaves no process behind', async (test) => {
  const demo = startDemo(['--orders', '1000'])
  await demo.until(/schema orders --dry-run/)
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
