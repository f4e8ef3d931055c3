/** What a blocking command is sent as that nobody may end: which word is its time, what is left of it. */
import t from 'tap'
import { LimitedWait } from '../../../src/proxy/redis/limited-wait.ts'
import { knownCommandTable } from '../../../src/routing/redis/command-table.ts'
import { readArguments } from '../../../src/wire/redis/arguments.ts'
import { present } from '../../support/pontoon.ts'

const table = knownCommandTable()

function limited(line: string): LimitedWait | null {
  const words = line.split(' ').map((word) => Buffer.from(word))
  const name = present(words[0])
  return LimitedWait.of(present(table.find(name, 0, name.length)), words, 0)
}

function sent(request: Buffer | null | undefined): string | null {
  if (request === null || request === undefined) return null
  return readArguments(request, 0, request.length).join(' ')
}

const cases: readonly (readonly [asked: string, first: string | null])[] = [
  ['BLPOP a b 0', 'BLPOP a b 1'],
  ['BLPOP a 1', null],
  ['BLPOP a 0.2', null],
  ['BLPOP a soon', null],
  ['BLMOVE a b LEFT LEFT 5', 'BLMOVE a b LEFT LEFT 1'],
  ['BRPOPLPUSH a b 5', 'BRPOPLPUSH a b 1'],
  ['BLMPOP 0 1 a LEFT', 'BLMPOP 1 1 a LEFT'],
  ['BZPOPMIN z 2.5', 'BZPOPMIN z 1'],
  ['BZMPOP 9 1 z MIN COUNT 2', 'BZMPOP 1 1 z MIN COUNT 2'],
  ['XREAD BLOCK 0 STREAMS s 0', 'XREAD BLOCK 1000 STREAMS s 0'],
  ['XREAD BLOCK 0 STREAMS s $', null],
  ['XREAD BLOCK 900 STREAMS s 0', null],
  ['XREADGROUP GROUP g c BLOCK 9000 STREAMS s >', 'XREADGROUP GROUP g c BLOCK 1000 STREAMS s >'],
  [
    'XREADGROUP GROUP block 9 BLOCK 0 STREAMS s >',
    'XREADGROUP GROUP block 9 BLOCK 1000 STREAMS s >',
  ],
  [
    'XREADGROUP GROUP streams streams BLOCK 0 STREAMS s >',
    'XREADGROUP GROUP streams streams BLOCK 1000 STREAMS s >',
  ],
  [
    'XREADGROUP BLOCK 0 GROUP $ block COUNT 1 STREAMS $ >',
    'XREADGROUP BLOCK 1000 GROUP $ block COUNT 1 STREAMS $ >',
  ],
  ['XREAD BLOCK 0 STREAMS $ 0', 'XREAD BLOCK 1000 STREAMS $ 0'],
  ['XREAD COUNT 1 STREAMS block 5000', null],
  ['WAIT 1 0', null],
]

await t.test('its time is made short, and nothing else of it is touched', async (test) => {
  for (const [asked, first] of cases) test.equal(sent(limited(asked)?.request), first, asked)
})

await t.test('what is left of it never means for ever', async (test) => {
  test.equal(sent(limited('BLPOP a 0')?.rest(1_000.2)), 'BLPOP a 0')
  test.equal(sent(limited('BLPOP a 5')?.rest(1_000.2)), 'BLPOP a 4')
  test.equal(sent(limited('BLPOP a 2.5')?.rest(1_000.2)), 'BLPOP a 1.500')
  test.equal(sent(limited('BLPOP a 1.001')?.rest(1_000.7)), 'BLPOP a 0.001')
  test.equal(sent(limited('BLPOP a 1.001')?.rest(1_001)), null)
  test.equal(
    sent(limited('XREAD BLOCK 1001 STREAMS s 0')?.rest(1_000.7)),
    'XREAD BLOCK 1 STREAMS s 0',
  )
})
