/** How the demo ends before its time. */
import t from 'tap'
import { isAlive, processTree, waitUntilGone } from './support/child-processes.ts'
import { startDemo } from './support/demo.ts'

const stopDeadlineMs = 30_000

await t.test('Ctrl-C leaves no process behind', async (test) => {
  const demo = startDemo(t, ['--orders', '1000'])
  await demo.until(/schema orders --dry-run/)
  const tree = processTree(demo.pid)
  // The demo itself, two postmasters with their backends, the sidecar and the application.
  // Some of them, such as a backend that has answered, are gone a moment later.
  test.ok(tree.filter(isAlive).length > 10, `${tree.length} processes`)
  process.kill(demo.pid, 'SIGINT')
  test.equal(await demo.exited, 130, 'exit code')
  await waitUntilGone(tree, stopDeadlineMs)
  test.notOk(tree.some(isAlive))
})

await t.test('a mistake on the command line is named', async (test) => {
  const demo = startDemo(t, ['--seconds', 'soon'])
  test.equal(await demo.exited, 2, 'exit code')
  test.match(demo.output(), /--seconds: soon is not a whole number/)
})
