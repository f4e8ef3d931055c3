/** Where keys stand: against COMMAND GETKEYS for requests of every command the server describes. */
import {
  assert,
  constantFrom,
  property,
  sample,
  string,
  stringMatching,
  uniqueArray,
} from 'fast-check'
import tap from 'tap'
import { mayBlock } from '../../../src/routing/redis/command-keys.ts'
import { commandTable } from '../../../src/routing/redis/command-table.ts'
import { hashSlot } from '../../../src/routing/redis/hash-slot.ts'
import { NameTable } from '../../../src/routing/redis/name-table.ts'
import { startRedis } from '../../support/redis.ts'
import { itemsOf, RespError, textOf } from '../../support/resp.ts'
import { describedCommands, generateRequest } from './generated-requests.ts'
import { argumentsOf, factsFor, keysFor } from './request.ts'

const server = await startRedis()
tap.teardown(() => server.stop())
const table = commandTable(await server.call('COMMAND'))
const wire = await server.connect()
tap.teardown(() => wire.destroy())

await tap.test('the keys of every command are those of COMMAND GETKEYS', async (t) => {
  const commands = describedCommands(await server.call('COMMAND', 'DOCS'))
  t.ok(commands.length > 300, `${commands.length} commands and subcommands`)
  const random = sequence()
  const requests = commands.flatMap((command) =>
    Array.from({ length: 12 }, () => generateRequest(command, random)),
  )
  for (const request of requests) wire.send('COMMAND', 'GETKEYS', ...request)
  let withKeys = 0
  const wrong: string[] = []
  for (const request of requests) {
    const answer = await wire.value()
    const expected = itemsOf(answer).map(textOf)
    if (answer instanceof RespError && !answer.message.includes('no key arguments')) continue
    const { keys } = keysFor(table, request)
    if (expected.length > 0) withKeys += 1
    if (keys.toSorted().join() !== expected.toSorted().join()) {
      wrong.push(`${request.join(' ')}: ${keys.join()} but ${expected.join()}`)
    }
  }
  t.same(wrong, [])
  t.ok(withKeys > 1_500, `${withKeys} requests with keys`)
})

await tap.test('which keys are written, and what stays hidden', async (t) => {
  const cases: [string, { written: string; complete: boolean }][] = [
    ['GET a', { written: '', complete: true }],
    ['SET a 1', { written: 'a', complete: true }],
    ['MSET a 1 b 2', { written: 'a,b', complete: true }],
    ['BITOP AND d a b', { written: 'd', complete: true }],
    ['XREADGROUP GROUP g c STREAMS a >', { written: 'a', complete: true }],
    ['ZUNIONSTORE d 2 a b', { written: 'd', complete: true }],
    ['SORT a STORE d', { written: 'd', complete: true }],
    ['SORT a BY w_* STORE d', { written: 'd', complete: false }],
    ['SORT_RO a LIMIT 0 get', { written: '', complete: true }],
    ['MIGRATE h 1 a 0 9', { written: 'a', complete: true }],
    ['EVAL x 1 a', { written: 'a', complete: false }],
    ['EVAL x 9 a', { written: '', complete: false }],
    ['EVAL x -1 a', { written: '', complete: false }],
    ['GET', { written: '', complete: false }],
  ]
  for (const [line, expected] of cases) {
    const { written, complete } = keysFor(table, line.split(' '))
    t.same({ written: written.join(), complete }, expected, line)
  }
  const migrate = ['MIGRATE', 'h', '1', '', '0', '9', 'AUTH2', 'keys', 'keys', 'KEYS', 'a', 'b']
  t.same(keysFor(table, migrate).written, ['a', 'b'])
  t.same(keysFor(table, ['SPUBLISH', 'c', 'm']).keys, [])
  t.same(keysFor(table, ['SPUBLISH', 'c', 'm'], true).keys, ['c'], 'a channel has a slot')
  const many = ['DEL', ...Array.from({ length: 1_000 }, (_, index) => `k${index}`)]
  t.same(keysFor(table, many).written, many.slice(1))
})

await tap.test('what may wait', async (t) => {
  const lines = [
    'BLPOP a 0',
    'XREAD BLOCK 0 STREAMS a $',
    'XREADGROUP GROUP g c BLOCK 1 STREAMS a >',
    'XREADGROUP GROUP streams c BLOCK 1 STREAMS a >',
    'XREADGROUP GROUP g streams NOACK BLOCK 1 STREAMS a >',
    'XREADGROUP BLOCK 1 GROUP g streams STREAMS a >',
    'WAIT 1 0',
  ]
  for (const line of lines) t.ok(waits(line), line)
  const others = [
    'XREAD STREAMS block 0',
    'XREAD COUNT 1 STREAMS a 0',
    'XREADGROUP GROUP block block STREAMS a >',
    'LPOP a',
  ]
  for (const line of others) t.notOk(waits(line), line)
})

await tap.test('hash slots are those of the server', async (t) => {
  const keys = [
    '',
    'foo',
    '{user1000}.following',
    'foo{}{bar}',
    'foo{{bar}}zap',
    'foo{bar}{zap}',
    '{',
    '}{',
    'a{b',
    '{}a',
    '123456789',
  ]
  const random = sample(string({ unit: constantFrom('{', '}', 'a', 'b', 'é', '\0') }), 300)
  const cluster = await startRedis({ config: ['cluster-enabled yes'] })
  t.teardown(() => cluster.stop())
  for (const key of [...keys, ...random]) {
    const bytes = Buffer.from(`xx${key}yy`)
    const slot = hashSlot(bytes, 2, bytes.length - 2)
    t.equal(slot, await cluster.call('CLUSTER', 'KEYSLOT', key), JSON.stringify(key))
  }
})

await tap.test('names are found whatever their case, and nothing else is', async (t) => {
  const word = stringMatching(/^[a-z|-]{1,20}$/)
  assert(
    property(uniqueArray(word, { maxLength: 300 }), string(), (words, other) => {
      const names = new NameTable(new Map(words.map((name) => [name, name])))
      const find = (text: string): string | undefined => {
        const bytes = Buffer.from(`.${text}.`, 'latin1')
        return names.find(bytes, 1, bytes.length - 1)
      }
      for (const name of words) if (find(name.toUpperCase()) !== name) return false
      return find(other) === words.find((name) => name === other.toLowerCase())
    }),
  )
  const table1 = new NameTable(
    new Map([
      ['a-b', 1],
      ['`', 2],
    ]),
  )
  t.equal(table1.find(Buffer.from('A\rB'), 0, 3), undefined, 'a bit apart, and no letter')
  t.equal(table1.find(Buffer.from('@'), 0, 1), undefined)
})

/** The same numbers in every run. */
function sequence(): () => number {
  let state = 42
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function waits(line: string): boolean {
  const words = line.split(' ')
  return mayBlock(factsFor(table, ...words), argumentsOf(words))
}
