/** Averages are taken over one to two periods. */
import t from 'tap'
import { DatabaseTotals } from '../../../../src/proxy/service.ts'
import { StatsWindow, statsPeriodMs } from '../../../../src/proxy/pg/console/stats-window.ts'

void t.test('the older of two copies is what is compared with', async (test) => {
  const totals = new DatabaseTotals()
  const all = new Map([['orders', totals]])
  const window = new StatsWindow(1_000)
  test.equal(window.since(1_000, 'orders').seconds, 1, 'never divides by nothing')
  totals.transactions = 10
  window.tick(1_000 + statsPeriodMs - 1, all)
  test.equal(window.since(5_000, 'orders').before.transactions, 0, 'not yet')
  window.tick(1_000 + statsPeriodMs, all)
  totals.transactions = 30
  const first = window.since(1_000 + 90_000, 'orders')
  test.match(first, { seconds: 90, before: { transactions: 0 } }, 'since the start')
  window.tick(1_000 + 2 * statsPeriodMs, all)
  const second = window.since(1_000 + 3 * statsPeriodMs, 'orders')
  test.match(second, { seconds: 120, before: { transactions: 10 } }, 'the copy did not change')
  test.equal(window.since(200_000, 'unknown').before.transactions, 0)
})
