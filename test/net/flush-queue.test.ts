/** When writes leave: with their event, or at the end of the turn of the event loop. */
import t from 'tap'
import { FlushQueue, type Flushable } from '../../src/net/flush-queue.ts'

/** Says when it was flushed. */
function target(name: string, log: string[]): Flushable {
  return { flush: () => log.push(name) }
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

void t.test('servers are written to with the event, clients when the turn ends', async (test) => {
  const queue = new FlushQueue()
  const log: string[] = []
  for (const event of ['first', 'second']) {
    queue.enter()
    queue.markForTurn(target(`client of ${event}`, log))
    queue.mark(target(`server of ${event}`, log))
    queue.leave()
  }
  test.strictSame(log, ['server of first', 'server of second'])
  await endOfTurn()
  test.strictSame(log.slice(2), ['client of first', 'client of second'])
  queue.markForTurn(target('client of a later turn', log))
  await endOfTurn()
  test.equal(log.length, 5)
})

void t.test('nobody waits behind more than 31 others', async (test) => {
  const queue = new FlushQueue()
  const log: string[] = []
  for (let index = 1; index <= 40; index += 1) {
    queue.enter()
    queue.markForTurn(target(`${index}`, log))
    queue.leave()
    if (index === 31) test.equal(log.length, 0)
    if (index === 32) test.equal(log.length, 32)
  }
  test.equal(log.length, 32)
  await endOfTurn()
  test.equal(log.length, 40)
})

void t.test('outside of an event servers are written to when the tick ends', async (test) => {
  const queue = new FlushQueue()
  const log: string[] = []
  queue.mark(target('server', log))
  test.equal(log.length, 0)
  await new Promise<void>((resolve) => process.nextTick(resolve))
  test.strictSame(log, ['server'])
})

void t.test('what a flush marks belongs to the same round', (test) => {
  const queue = new FlushQueue()
  const log: string[] = []
  queue.enter()
  queue.mark({
    flush: () => {
      log.push('outer')
      queue.mark(target('inner', log))
    },
  })
  queue.leave()
  test.strictSame(log, ['outer', 'inner'])
  test.end()
})

void t.test('copies are kept until the turn ends, and then there is room again', async (test) => {
  const queue = new FlushQueue()
  const bytes = Buffer.alloc(1_025, 'a')
  test.equal(queue.keep(bytes, 0, 1_025), -1, 'too long to be worth a copy')
  const first = queue.keep(bytes, 5, 25)
  bytes.fill('b')
  test.equal(queue.kept.toString('latin1', first, first + 20), 'a'.repeat(20))
  let count = 0
  while (queue.keep(bytes, 0, 1_024) >= 0) count += 1
  test.equal(count, 63)
  test.equal(queue.kept.toString('latin1', first, first + 20), 'a'.repeat(20))
  queue.markForTurn(target('client', []))
  await endOfTurn()
  test.not(queue.keep(bytes, 0, 1_024), -1)
})

void t.test('all of it leaves at once when that is asked for', (test) => {
  const queue = new FlushQueue()
  const log: string[] = []
  queue.markForTurn(target('client', log))
  queue.mark(target('server', log))
  queue.flush()
  test.strictSame(log, ['server', 'client'])
  test.end()
})
