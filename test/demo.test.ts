/** The demo end to end, as a user runs it (`npm run demo` builds first): its verdict. */
import t from 'tap'
import { startDemo } from './support/demo.ts'

await t.test(
  'moves a shop there, back, and there again, without an error or a loss',
  async (test) => {
    const demo = startDemo(t, ['--seconds', '1', '--orders', '2000'])
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
