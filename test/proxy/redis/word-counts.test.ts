/**
 * Commands that Pontoon answers itself, with all numbers of words: refused as by a server, in its
 * words, also where it is not known yet who asks, and inside MULTI, where a refusal voids the EXEC.
 */
import t from 'tap'
import { repliesTo } from '../../support/redis-replies.ts'
import { startRedisPontoon } from '../../support/redis-pontoon.ts'
import { startRedis } from '../../support/redis.ts'

const wordsMax = 4

const ofClient =
  'GETNAME ID INFO SETNAME SETINFO UNBLOCK REPLY KILL LIST TRACKING TRACKINGINFO GETREDIR ' +
  'CACHING NO-EVICT NO-TOUCH HELP NOSUCH'

const names = ofClient
  .split(' ')
  .map((name) => `CLIENT ${name}`)
  .concat('CLIENT', 'RESET', 'HELLO', 'SELECT', 'AUTH', 'QUIT', 'NOSUCH')

/** `trust` asks nobody, and any password is right. */
const answeredOk = /^AUTH x( x)?$/

const lines = names
  .flatMap((name) =>
    [...Array(wordsMax).keys()].map((count) => [name, ...Array(count).fill('x')].join(' ')),
  )
  .filter((line) => !answeredOk.test(line))

const open = await startRedis()
const locked = await startRedis({ password: 'secret' })
t.teardown(() => Promise.all([open.stop(), locked.stop()]))

const contexts: Readonly<Record<string, (line: string) => string>> = {
  alone: (line) => line,
  'inside MULTI': (line) => `MULTI|${line}|PING|EXEC`,
  'behind WATCH': (line) => `WATCH k|${line}|PING`,
  'behind a subscription': (line) => `SUBSCRIBE x|${line}|PING`,
}

for (const version of [2, 3])
  for (const [context, around] of Object.entries(contexts))
    await t.test(`RESP${version}, ${context}: refused as by a server`, async (test) => {
      const pontoon = await startRedisPontoon({ source: open })
      test.teardown(() => pontoon.stop())
      const different: string[] = []
      for (const line of lines) {
        const direct = await repliesTo(open.port, version, around(line))
        const proxied = await repliesTo(pontoon.port, version, around(line))
        // What is no refusal has ids and addresses.
        const isRefused = direct.includes('-ERR')
        if (isRefused ? proxied !== direct : proxied.includes('-ERR'))
          different.push(`${line}: ${proxied}, not ${direct}`)
      }
      test.same(different, [])
    })

await t.test('before the login: refused as by a server', async (test) => {
  const pontoon = await startRedisPontoon({
    source: locked,
    config: {
      source: { host: locked.host, port: locked.port, password: 'secret' },
      clientAuth: { mode: 'password' },
      users: { default: { verifier: 'secret' } },
    },
  })
  test.teardown(() => pontoon.stop())
  const different: string[] = []
  // What the server does not know Pontoon may not have learnt yet.
  const known = lines.filter((line) => !/NOSUCH|SETINFO|NO-TOUCH|CLIENT x/.test(line))
  for (const line of [
    ...known,
    'AUTH x',
    'AUTH x x',
    'GET',
    'GET k',
    'GET k l',
    'MULTI',
    'MULTI x',
  ]) {
    // The last word ends both connections: nobody is logged in to be echoed.
    const direct = await repliesTo(locked.port, 2, `${line}|QUIT`)
    const proxied = await repliesTo(pontoon.port, 2, `${line}|QUIT`)
    if (proxied !== direct) different.push(`${line}: ${proxied}, not ${direct}`)
  }
  test.same(different, [])
})
