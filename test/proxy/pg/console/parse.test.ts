/** What counts as a command of the console. */
import t from 'tap'
import { parseCommand } from '../../../../src/proxy/pg/console/parse.ts'
import type { Command } from '../../../../src/proxy/pg/console/parse.ts'

const command = (verb: string, argument: string | null = null): Command => ({
  kind: 'command',
  verb,
  argument,
})
const unknown: Command = { kind: 'unknown' }

const cases: readonly (readonly [sql: string, expected: Command])[] = [
  ['SHOW POOLS', command('show', 'POOLS')],
  ['\n show\t\n pools ; \n', command('show', 'pools')],
  ['pause', command('pause')],
  ['PAUSE "my-db"', command('pause', 'my-db')],
  ['KILL "a""b"', command('kill', 'a"b')],
  ['KILL Orders', command('kill', 'Orders')],
  ['', { kind: 'empty' }],
  [' ;; ', { kind: 'empty' }],
  ['SET a = 1', { kind: 'set', key: 'a' }],
  ["set Client_Encoding to 'UTF8';", { kind: 'set', key: 'client_encoding' }],
  ['SET "x"=y', { kind: 'set', key: 'x' }],
  ['SHOW POOLS STATS', unknown],
  ['SHOW POOLS; SHOW POOLS', unknown],
  ['PAUSE my-db', unknown],
  ["SHOW 'version'", unknown],
  ['SELECT 1 FROM x', unknown],
  ['PAUSE "open', unknown],
  ['-- ping', unknown],
]

for (const [sql, expected] of cases) {
  void t.test(JSON.stringify(sql), async (test) => {
    test.same(parseCommand(sql), expected)
  })
}

void t.test('long nonsense is refused quickly', async (test) => {
  const startMs = performance.now()
  for (const text of ['"', '""', 'a ', "set a = '", '"" ', 'a" ']) {
    parseCommand(text.repeat(60_000 / text.length))
    parseCommand(`show ${text.repeat(60_000 / text.length)}`)
    parseCommand(`set a = '${text.repeat(60_000 / text.length)}`)
  }
  test.ok(performance.now() - startMs < 2_000)
})
