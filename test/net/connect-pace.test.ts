/** How many connections a pool opens at once, and when again without being asked. */
import t from 'tap'
import { ConnectPace } from '../../src/net/connect-pace.ts'
import {
  connectingMax,
  connectingMin,
  hurriedConnectingMax,
  shortLifeMs,
} from '../../src/net/pool-rules.ts'

/** Begins as many as it may. */
function fill(pace: ConnectPace): number {
  while (!pace.isFull) pace.begun()
  return pace.underWay
}

/** Everything that is under way succeeds, then as many as may begin do. */
function round(pace: ConnectPace, tookMs = 1, isOverSpare = false): number {
  for (let left = pace.underWay; left > 0; left -= 1) pace.succeeded(tookMs, isOverSpare)
  return fill(pace)
}

/** Each takes so long times those that are under way with it, as on a server with one processor. */
function sharedRound(pace: ConnectPace, aloneMs: number): number {
  return round(pace, aloneMs * pace.underWay)
}

void t.test(
  'a cold start begins with few and takes as many as do not hinder each other',
  (test) => {
    const pace = new ConnectPace()
    const counts = [fill(pace), ...Array.from({ length: 4 }, () => round(pace))]
    test.strictSame(counts, [connectingMin, 4, 8, connectingMax, connectingMax])
    test.end()
  },
)

void t.test(
  'where logins share a processor few are under way, so that the first is there soon',
  (test) => {
    const pace = new ConnectPace()
    fill(pace)
    const counts = Array.from({ length: 20 }, () => sharedRound(pace, 30))
    test.ok(Math.max(...counts) <= 2 * connectingMin, counts.join(' '))
    test.end()
  },
)

void t.test('what was quick once is forgotten in time', (test) => {
  const pace = new ConnectPace()
  fill(pace)
  round(pace, 1)
  const counts = Array.from({ length: 100 }, () => round(pace, 10))
  test.equal(counts.at(1), connectingMin, 'ten times as long as it was')
  test.equal(counts.at(-1), connectingMax, 'it has become the rule')
  test.end()
})

void t.test('those over spare connections, which take less, slow down no others', (test) => {
  const pace = new ConnectPace()
  fill(pace)
  for (let count = 0; count < 8; count += 1) round(pace, 1, true)
  test.equal(pace.underWay, connectingMax, 'among themselves they are alike')
  const counts = Array.from({ length: 4 }, () => round(pace, 10))
  test.strictSame(counts, [connectingMax, connectingMax, connectingMax, connectingMax])
  test.end()
})

void t.test('in a hurry each success lets one more begin, up to a bound', (test) => {
  const pace = new ConnectPace()
  const ends = [pace.hurry(), pace.hurry()]
  const counts = [fill(pace), ...Array.from({ length: 8 }, () => sharedRound(pace, 1))]
  test.strictSame(counts, [2, 4, 8, 16, 32, 64, 128, hurriedConnectingMax, hurriedConnectingMax])
  ends[0]?.()
  test.equal(round(pace), hurriedConnectingMax, 'while the last one is in a hurry')
  ends[1]?.()
  test.equal(round(pace), connectingMax)
  test.end()
})

void t.test('in a hurry a failure makes it slow again', (test) => {
  const pace = new ConnectPace()
  pace.hurry()
  for (let count = 0; count < 4; count += 1) round(pace)
  pace.failed('CONNECT_FAILED', 0)
  test.ok(pace.isFull, 'nothing more begins while those of before are under way')
  while (pace.underWay > 0) pace.failed('CONNECT_FAILED', 0)
  test.equal(fill(pace), connectingMin)
  test.end()
})

void t.test('unasked it tries less and less often', (test) => {
  const pace = new ConnectPace()
  const waits = Array.from({ length: 3 }, () => {
    pace.begun()
    pace.failed('CONNECT_FAILED', 0)
    return [999, 1_000, 1_999, 2_000, 3_999, 4_000].find((nowMs) => pace.mayUnasked(nowMs))
  })
  test.strictSame(waits, [1_000, 2_000, 4_000])
  pace.begun()
  pace.succeeded(1)
  test.ok(pace.mayUnasked(0))
  pace.lost(0, shortLifeMs - 1)
  test.notOk(pace.mayUnasked(shortLifeMs), 'it has lived for a moment only')
  test.end()
})
