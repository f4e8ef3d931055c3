/** The command table against a real server: what it says of every command the server knows. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import tap from 'tap'
import { commandPage, knownCommandsSource } from '../../../scripts/lib/redis-command-page.ts'
import { readCommandReply } from '../../../src/routing/redis/command-reply.ts'
import { commandTable, knownCommandTable } from '../../../src/routing/redis/command-table.ts'
import { parseKnownCommands } from '../../../src/routing/redis/known-facts.ts'
import { knownCommandLines } from '../../../src/routing/redis/known-commands.ts'
import { startRedis } from '../../support/redis.ts'
import { itemsOf, textOf } from '../../support/resp.ts'
import type { RespValue } from '../../support/resp.ts'
import { factsFor, keysFor } from './request.ts'

const root = join(import.meta.dirname, '../../..')
const server = await startRedis()
tap.teardown(() => server.stop())
const reply = await server.call('COMMAND')
const table = commandTable(reply)

await tap.test('the flags of every command are those of the server', async (t) => {
  for (const entry of itemsOf(reply)) {
    const [nameReply, , flags] = itemsOf(entry)
    const name = textOf(nameReply)
    const facts = factsFor(table, name.toUpperCase())
    const has = (flag: string): boolean => itemsOf(flags).includes(flag)
    if (has('write')) t.equal(facts.effect, 'write', `${name} is a write`)
    else if (has('readonly')) t.equal(facts.effect, 'read', `${name} is a read`)
    else t.not(facts.effect, 'read', `${name} is not told to be a read`)
    if (has('blocking')) t.match(facts, { blocking: true, sharing: 'own' }, name)
  }
})

await tap.test('trap: writes that hand-made lists forget', async (t) => {
  const writes = ['GETSET', 'XADD', 'XDEL', 'XTRIM', 'XACK', 'XCLAIM', 'GETDEL', 'GETEX', 'SPOP']
  for (const name of writes) {
    t.match(factsFor(table, name, 'a', 'b'), { effect: 'write', sharing: 'shared' }, name)
  }
  for (const name of ['EVAL', 'EVALSHA', 'FCALL', 'PUBLISH', 'SPUBLISH']) {
    t.equal(factsFor(table, name, 'a', 'b').effect, 'write', name)
  }
  t.equal(factsFor(table, 'XREADGROUP').effect, 'write')
  t.equal(factsFor(table, 'EVAL_RO').effect, 'read')
})

await tap.test('trap: an unknown command is a write on a server of its own', async (t) => {
  for (const words of [['NOSUCH', 'a'], ['CONFIG', 'NOSUCH'], ['x'.repeat(70)], ['']]) {
    t.match(factsFor(table, ...words), { effect: 'write', sharing: 'own', hiddenKeys: true })
  }
})

await tap.test('what keeps a server to itself', async (t) => {
  const sharing = {
    shared: 'get,set,eval,evalsha,publish,script load,function load,ping,echo,info,object freq',
    own: 'blpop,multi,exec,watch,subscribe,ssubscribe,monitor,wait,xread,psync,script debug',
    session: 'auth,hello,select,reset,quit,client setname,client reply,client tracking',
  }
  for (const [kind, names] of Object.entries(sharing)) {
    for (const name of names.split(','))
      t.match(factsFor(table, ...name.split(' ')), { sharing: kind }, name)
  }
})

await tap.test('families', async (t) => {
  const families =
    'get string,hset hash,zadd sortedset,xadd stream,geoadd geo,del keyspace,' +
    'pfadd hyperloglog,setbit bitmap,eval scripting,multi transaction,info server,nosuch other'
  for (const pair of families.split(',')) {
    const [name = '', family] = pair.split(' ')
    t.equal(factsFor(table, name).family, family, name)
  }
})

await tap.test('RESP3 tells the same as RESP2', async (t) => {
  const wire = await server.connect()
  t.teardown(() => wire.destroy())
  await wire.call('HELLO', 3)
  t.same(byName(await wire.call('COMMAND')), byName(reply))
})

await tap.test('what older servers leave out is filled in', async (t) => {
  const before7 = itemsOf(reply).map((entry) => itemsOf(entry).slice(0, 7))
  const before6 = itemsOf(reply).map((entry) => itemsOf(entry).slice(0, 6))
  for (const old of [before7, before6]) {
    const oldTable = commandTable(old)
    for (const facts of table.values()) t.same(factsFor(oldTable, facts.name), facts, facts.name)
    t.same(factsFor(oldTable, 'OBJECT', 'FREQ', 'a'), factsFor(table, 'OBJECT', 'FREQ', 'a'))
  }
})

await tap.test('a server that does not answer COMMAND', async (t) => {
  for (const nonsense of [null, [], 'OK', [1, [], [null], ['get'], ['get', 'x', [], 1, 1, 1]]]) {
    const fallback = commandTable(nonsense)
    t.match(factsFor(fallback, 'GET'), { effect: 'read', onlyKeyAt: 1 })
  }
  const fallback = knownCommandTable()
  t.match(factsFor(fallback, 'HEXPIRE'), { effect: 'write', onlyKeyAt: 1 }, 'newer than 7.0')
  t.match(factsFor(fallback, 'HPTTL'), { effect: 'read' })
  t.equal(keysFor(fallback, ['HEXPIRE', 'a', '1', 'FIELDS', '1', 'f']).complete, true)
})

await tap.test(
  'known-commands.ts and docs/redis-commands.md are this server’s reply',
  async (t) => {
    const told = readCommandReply(reply).toSorted((a, b) => (a.name < b.name ? -1 : 1))
    const parsed = parseKnownCommands(knownCommandLines)
    t.same(
      parsed.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ name }) => name),
      told.map(({ name }) => name),
    )
    const version = await server.version()
    if (
      !/^\S+ What Redis (\S+) replies/m
        .exec(read('src/routing/redis/known-commands.ts'))?.[1]
        ?.startsWith(version)
    ) {
      t.pass('another server wrote them')
      return
    }
    t.equal(read('src/routing/redis/known-commands.ts'), knownCommandsSource(reply, version))
    t.equal(read('docs/redis-commands.md'), await commandPage(reply, version))
  },
)

function byName(value: RespValue): readonly { name: string }[] {
  return readCommandReply(value).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}
