/** What a server owes, entry by entry. */
import t from 'tap'
import { owed, ReplyQueue } from '../../../src/wire/pg/reply-queue.ts'

/** The kinds that are owed, oldest first; taken out of the queue. */
function drain(queue: ReplyQueue<string>): number[] {
  const kinds: number[] = []
  while (queue.length > 0) {
    kinds.push(queue.head)
    queue.shift()
  }
  return kinds
}

function queueOf(...kinds: readonly number[]): ReplyQueue<string> {
  const queue = new ReplyQueue<string>()
  for (const kind of kinds) queue.push(kind)
  return queue
}

void t.test('first in, first out, with tags and flags', (test) => {
  const queue = new ReplyQueue<string>()
  test.equal(queue.head, owed.none)
  test.equal(queue.headTag, null)
  test.ok(queue.push(owed.parse | owed.injected, 'one'))
  queue.push(owed.bind)
  queue.push(owed.parse, 'two')
  test.equal(queue.head, owed.parse | owed.injected)
  test.equal(queue.headTag, 'one')
  queue.shift()
  test.equal(queue.headTag, null, 'an entry without a tag')
  queue.shift()
  test.equal(queue.headTag, 'two')
  queue.shift()
  test.throws(() => queue.shift(), 'a reply nobody waits for')
  test.end()
})

void t.test('it grows, also when it has wrapped around', (test) => {
  const queue = new ReplyQueue<string>()
  for (let index = 0; index < 10; index += 1) queue.push(owed.sync)
  for (let index = 0; index < 10; index += 1) queue.shift()
  const kinds = Array.from({ length: 1_000 }, (_, index) => 1 + (index % 9))
  kinds.forEach((kind, index) => queue.push(kind, `${index}`))
  test.equal(queue.length, 1_000)
  const tags: (string | null)[] = []
  const found: number[] = []
  while (queue.length > 0) {
    tags.push(queue.headTag)
    found.push(queue.head)
    queue.shift()
  }
  test.strictSame(found, kinds)
  test.strictSame(
    tags,
    kinds.map((_, index) => `${index}`),
  )
  test.end()
})

void t.test('an error in an extended batch voids everything up to Sync', (test) => {
  const queue = new ReplyQueue<string>()
  queue.push(owed.parse, 'failed')
  queue.push(owed.bind)
  queue.push(owed.parse, 'void')
  queue.push(owed.sync)
  queue.push(owed.bind)
  const dropped: string[] = []
  queue.fail((tag) => dropped.push(tag))
  test.strictSame(dropped, ['void', 'failed'], 'the latest first, so that each can be undone')
  test.notOk(queue.isSkipping)
  test.strictSame(drain(queue), [owed.sync, owed.bind])
  test.end()
})

void t.test('until a Sync is sent, what follows an error is ignored', (test) => {
  const queue = queueOf(owed.bind)
  queue.fail(() => undefined)
  test.ok(queue.isSkipping)
  test.notOk(queue.push(owed.parse, 'ignored'))
  test.notOk(queue.push(owed.query), 'a simple Query too')
  test.equal(queue.length, 0)
  test.ok(queue.push(owed.sync))
  test.notOk(queue.isSkipping)
  test.ok(queue.push(owed.query))
  test.strictSame(drain(queue), [owed.sync, owed.query])
  test.end()
})

void t.test('a simple Query in a failed batch is void', (test) => {
  const queue = queueOf(owed.execute, owed.query, owed.functionCall, owed.sync, owed.query)
  queue.fail(() => undefined)
  test.strictSame(drain(queue), [owed.sync, owed.query])
  test.end()
})

void t.test('an error of a simple Query, a function call or a Sync voids nothing', (test) => {
  for (const kind of [owed.query, owed.functionCall, owed.sync, owed.query | owed.injected]) {
    const queue = queueOf(kind, owed.parse, owed.sync)
    queue.fail(() => test.fail('nothing is void'))
    test.strictSame(drain(queue), [kind, owed.parse, owed.sync])
  }
  const empty = new ReplyQueue<string>()
  empty.fail(() => test.fail('nothing is void'))
  test.notOk(empty.isSkipping, 'an error out of the blue')
  test.end()
})

void t.test('COPY IN swallows the Sync that was sent along', (test) => {
  const queue = new ReplyQueue<string>()
  queue.push(owed.execute, 'copy')
  queue.push(owed.sync)
  queue.push(owed.sync)
  test.ok(queue.enterCopyIn(), 'COPY mode stays open')
  test.equal(queue.headTag, 'copy')
  test.strictSame(drain(queue), [owed.execute])
  test.end()
})

void t.test('a Sync behind the end of the COPY counts', (test) => {
  for (const kind of [owed.execute, owed.query]) {
    const queue = queueOf(kind, owed.sync)
    queue.pushCopyEnd()
    queue.push(owed.sync)
    test.notOk(queue.enterCopyIn(), 'COPY mode ends with what was sent along')
    test.strictSame(drain(queue), [kind, owed.sync])
  }
  test.end()
})

void t.test('a CopyDone that ended no COPY leaves no trace', (test) => {
  const empty = new ReplyQueue<string>()
  empty.pushCopyEnd()
  test.equal(empty.length, 0)
  const queue = queueOf(owed.query)
  queue.pushCopyEnd()
  queue.pushCopyEnd()
  queue.push(owed.query)
  test.strictSame(drain(queue), [owed.query, owed.query])
  queue.push(owed.query)
  queue.pushCopyEnd()
  queue.shift()
  test.equal(queue.length, 0, 'nothing is owed behind the last reply')
  test.end()
})

void t.test('a COPY that fails may leave its Sync to be answered', (test) => {
  const queue = queueOf(owed.execute, owed.sync)
  queue.enterCopyIn()
  queue.fail(() => undefined)
  test.ok(queue.isSkipping)
  test.ok(queue.mayHaveStraySync)
  queue.takeStraySync()
  test.notOk(queue.isSkipping)
  test.notOk(queue.mayHaveStraySync)

  const later = queueOf(owed.execute)
  later.enterCopyIn()
  later.ignoreSync()
  later.fail(() => undefined)
  test.ok(later.mayHaveStraySync, 'a Sync sent in COPY mode as well')

  const clean = queueOf(owed.execute)
  clean.enterCopyIn()
  clean.fail(() => undefined)
  test.notOk(clean.mayHaveStraySync)

  const done = queueOf(owed.execute, owed.sync)
  done.enterCopyIn()
  done.shift()
  done.push(owed.execute)
  done.fail(() => undefined)
  test.notOk(done.mayHaveStraySync, 'a COPY that went well has swallowed its Sync')
  test.end()
})

void t.test(
  'only what ends with ReadyForQuery comes without more from the client',
  async (test) => {
    const queue = new ReplyQueue<string>()
    test.notOk(queue.owesReady)
    for (const kind of [owed.parse, owed.bind, owed.execute, owed.copyEnd]) queue.push(kind)
    test.notOk(queue.owesReady, 'a batch without Sync')
    queue.push(owed.sync)
    queue.push(owed.parse)
    test.ok(queue.owesReady, 'a batch with Sync, and more')
    for (let count = 0; count < 4; count += 1) queue.shift()
    test.notOk(queue.owesReady)
    for (const kind of [owed.query | owed.injected, owed.functionCall]) {
      const other = new ReplyQueue<string>()
      other.push(kind)
      test.ok(other.owesReady)
    }
  },
)
