/** Command lines that are wrong say what is wrong and what may have been meant. */
import t from 'tap'
import { loadCommands } from '../../src/cli/commands.ts'
import { formatDuration, parseDuration } from '../../src/cli/duration.ts'
import { pontoon } from './capture.ts'

void t.test('mistakes exit with 2 and suggest the nearest', async (test) => {
  const cases: readonly (readonly [line: string, words: RegExp])[] = [
    ['statsu', /no command 'statsu'.*'status'/],
    ['frobnicate', /There are init, check, serve/],
    ['shift', /needs SERVICE/],
    ['shift orders', /needs --reads N/],
    ['shift orders --raeds 5', /no option --raeds.*--reads/],
    ['shift orders --reads', /--reads needs a value/],
    ['shift orders --reads=', /--reads needs a value/],
    ['shift orders --reads fifty', /'fifty' is not a percentage/],
    ['shift orders --reads -5', /'-5' is not a percentage/],
    ['shift orders --reads 101', /'101' is not a percentage/],
    ['shift orders 50', /does not take the argument '50'/],
    ['shift orders --reads 5 --epoch x', /--epoch: 'x'/],
    ['shift orders --reads 5 --json=yes', /--json takes no value/],
    ['phase orders canry', /Did you mean canary/],
    ['pause orders --for soon', /--for: 'soon' is not a duration/],
    ['pause orders --for 2m', /--for: at most 60 s/],
    ['status --admin nowhere', /'nowhere' is not an admin URL/],
    ['check --config', /--config needs a value/],
  ]
  for (const [line, words] of cases) {
    const { exit, out, err } = await pontoon(line.split(' '))
    test.equal(exit, 2, line)
    test.match(err, words, line)
    test.equal(out, '', `${line}: nothing on stdout`)
  }
})

void t.test('with --json a mistake is JSON on stdout', async (test) => {
  const { exit, json, err } = await pontoon(['shift', 'orders', '--json'])
  test.equal(exit, 2)
  test.match(json, { error: { code: 'USAGE', message: /--reads/ } })
  test.equal(err, '')
})

void t.test('every command has a help page with examples that it would take', async (test) => {
  for (const command of await loadCommands()) {
    const { exit, out } = await pontoon([command.name, '--help'])
    test.equal(exit, 0)
    test.match(out, /^Usage: pontoon /)
    test.ok(command.examples.length > 0)
    for (const example of command.examples) {
      test.ok(out.includes(example), example)
      // With --help an example is parsed and not run.
      const parsed = await pontoon([...example.split(' ').slice(1), '--help'])
      test.equal(parsed.exit, 0, example)
    }
    test.equal((await pontoon(['help', command.name])).out, out)
  }
})

void t.test('help, version and nothing at all', async (test) => {
  test.match((await pontoon(['--help'])).out, /Commands:\n {2}init/)
  test.match((await pontoon(['-h'])).out, /Exit codes: 0 ok/)
  test.match((await pontoon(['--version'])).out, /^pontoon \d+\.\d+\.\d+/)
  test.match((await pontoon(['version', '--json'])).json, { version: /^\d/ })
  const nothing = await pontoon([])
  test.equal(nothing.exit, 2)
  test.match(nothing.out, /Usage: pontoon COMMAND/)
})

void t.test('durations', async (test) => {
  const cases: readonly (readonly [text: string, ms: number])[] = [
    ['500ms', 500],
    ['5s', 5_000],
    ['5', 5_000],
    ['1.5s', 1_500],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ]
  for (const [text, ms] of cases) test.equal(parseDuration(text, '--for'), ms, text)
  for (const text of ['', '0', '0s', '-1s', '5 s', '5d', 's', '1e3', 'Infinity']) {
    test.throws(() => parseDuration(text, '--for'), { code: 'USAGE' }, text)
  }
  test.same([0, 999, 1_000, 45_000, 180_000].map(formatDuration), [
    '0 ms',
    '999 ms',
    '1.0 s',
    '45 s',
    '3 min',
  ])
})
