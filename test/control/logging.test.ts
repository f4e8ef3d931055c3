/** What the log shows and what it must never show. */
import t from 'tap'
import { createLog } from '../../src/control/logging.ts'

function capture(level: 'debug' | 'info' | 'warn'): {
  log: ReturnType<typeof createLog>
  lines: string[]
} {
  const lines: string[] = []
  const log = createLog(level, {
    write: (line) => {
      lines.push(line)
    },
  })
  return { log, lines }
}

void t.test('secrets are redacted, also inside', async (test) => {
  const { log, lines } = capture('info')
  log.info(
    {
      password: 'hush-1',
      source: { password: 'hush-2', host: 'db' },
      users: { app: { verifier: 'hush-3' } },
      config: { tokens: { ops: { secret: 'hush-4' } } },
      headers: { authorization: 'Bearer hush-5' },
    },
    'configuration',
  )
  const [line = ''] = lines
  test.notMatch(line, /hush/)
  test.match(JSON.parse(line), { level: 'info', msg: 'configuration', source: { host: 'db' } })
})

void t.test('the level can change while it runs', async (test) => {
  const { log, lines } = capture('warn')
  log.info({}, 'not yet')
  log.setLevel('debug')
  log.debug({}, 'now')
  test.equal(lines.length, 1)
  test.match(lines[0], /"msg":"now"/)
})

void t.test('errors keep their stack and cause', async (test) => {
  const { log, lines } = capture('info')
  log.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'it failed')
  test.match(JSON.parse(lines[0] ?? '{}'), { err: { message: /outer/, stack: /inner/ } })
})
