/**
 * A back-office worker of the sample application: lists a customer's orders and sums up the day.
 * It only reads. It keeps a connection for a batch of requests, so that all of them see work.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { PoolClient } from 'pg'
import type { Pace } from './pace.ts'
import type { WorkerParts } from './worker.ts'

const customersCount = 200
const batch = 10
const restMs = 200
const reconnectMs = 100

export async function backOfficeWorker(parts: WorkerParts): Promise<void> {
  const { pool, tally, signal } = parts
  const pace = tally.pace()
  while (!signal.aborted) {
    try {
      const client = await pool.connect()
      // A connection that failed must not serve the next batch.
      client.release(!(await work(client, pace, parts)))
    } catch (error) {
      tally.countError('connect', error)
      await delay(reconnectMs)
    }
  }
}

/** Returns whether every request of the batch went well; stops at the first that did not. */
async function work(
  client: PoolClient,
  pace: Pace,
  { tally, signal }: WorkerParts,
): Promise<boolean> {
  for (let request = 0; request < batch && !signal.aborted; request += 1) {
    const succeeded =
      request % 2 === 0
        ? await tally.request('list orders', () => listOrders(client, pace))
        : await tally.request('latest orders', () => latestOrders(client, pace))
    if (!succeeded) return false
    await pace.rest(restMs)
  }
  return true
}

async function listOrders(client: PoolClient, pace: Pace): Promise<void> {
  const customer = 1 + Math.floor(Math.random() * customersCount)
  const found = await pace.ask(client, {
    name: 'list-orders',
    text: `SELECT o.id, o.status, o.total, c.name
           FROM orders o JOIN customers c ON c.id = o.customer_id
           WHERE o.customer_id = $1 ORDER BY o.id DESC LIMIT 20`,
    values: [customer],
  })
  if (found.rows.length === 0) throw new Error(`customer ${customer} has no orders`)
}

async function latestOrders(client: PoolClient, pace: Pace): Promise<void> {
  const found = await pace.ask(
    client,
    `SELECT status, count(*) AS orders, sum(total) AS total
     FROM (SELECT status, total FROM orders ORDER BY id DESC LIMIT 200) latest
     GROUP BY status ORDER BY status`,
  )
  if (found.rows.length === 0) throw new Error('the report is empty')
}
