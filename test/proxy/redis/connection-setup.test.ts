/** What is sent to a new server to make of it what a client has made of its old one. */
import t from 'tap'
import { ConnectionSetup } from '../../../src/proxy/redis/connection-setup.ts'
import { encodeCommand } from '../../support/resp.ts'

function kept(...lines: string[]): string[] {
  const setup = new ConnectionSetup()
  for (const line of lines) {
    const words = line.split(' ')
    const isContainer = words[0] === 'client'
    const name = words.slice(0, isContainer ? 2 : 1).join('|')
    setup.ask(name, encodeCommand(...words))
    setup.answered(name, line.includes('wrong'))
  }
  return setup.requests().map(([, request]) => {
    const line = lines.findIndex((one) => encodeCommand(...one.split(' ')).equals(request))
    return lines[line] ?? 'something else'
  })
}

await t.test('the latest of each kind, in their order', async (test) => {
  test.same(kept('auth a x', 'select 1', 'select 2', 'auth b y'), ['select 2', 'auth b y'])
  const info = ['client setinfo LIB-NAME a', 'client setinfo lib-ver 1']
  test.same(kept(...info, 'client setinfo lib-name b'), [info[1], 'client setinfo lib-name b'])
})

await t.test('what is refused is not kept, and takes nothing away', async (test) => {
  test.same(kept('select 1', 'select wrong', 'auth a x', 'auth a wrong'), ['select 1', 'auth a x'])
  test.same(kept('select 1', 'auth a wrong', 'select 2'), ['select 2'])
})

await t.test('it counts from the moment when it is sent', async (test) => {
  const setup = new ConnectionSetup()
  test.ok(setup.ask('auth', encodeCommand('auth', 'a', 'x')))
  test.ok(setup.ask('select', encodeCommand('select', '1')))
  setup.answered('client|id', false)
  test.same([setup.size, setup.requests().length], [2, 0])
  setup.answered('auth', true)
  test.same([setup.size, setup.requests().length], [1, 0])
  setup.answered('select', false)
  test.same([setup.size, setup.requests().length], [1, 1])
})

await t.test('a refused HELLO of two steps may have done the first', async (test) => {
  const setup = new ConnectionSetup()
  const refused = (...words: string[]): boolean => {
    setup.ask('hello', encodeCommand('hello', '3', ...words))
    return setup.answered('hello', true)
  }
  test.notOk(refused('auth', 'a', 'x', 'setname', 'a b'))
  test.ok(refused('auth', 'a', 'x'))
  test.ok(refused('setname', 'a b'))
})

await t.test('a HELLO takes the place of one that named the same', async (test) => {
  const [login, named, plain] = ['hello 3 auth a x', 'hello 2 setname n', 'hello 3']
  test.same(kept(login, named, plain, 'hello'), [login, named, plain, 'hello'])
  test.same(kept(login, plain, 'hello 2', 'hello 2 auth b y'), ['hello 2', 'hello 2 auth b y'])
})

await t.test('what is not known is told, and not kept', async (test) => {
  const setup = new ConnectionSetup()
  for (let count = 0; count < 3; count += 1)
    test.notOk(setup.ask('client|setinfo', encodeCommand('client', 'setinfo', `x${count}`, 'v')))
  test.notOk(setup.ask('hello', encodeCommand('hello', '9')))
  test.equal(setup.size, 0)
  test.ok(setup.ask('hello', Buffer.from('hello 3 "auth" a b\r\n')), 'inline')
})
