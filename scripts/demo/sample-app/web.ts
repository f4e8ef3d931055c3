/**
 * A web worker of the sample application: places an order, looks at it, has it paid and shipped.
 * It must always see its own writes: an order that it cannot find again is an error.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Pool, PoolClient } from 'pg'
import type { Tally } from './tally.ts'

const customersCount = 200
const itemsMax = 4
const thinkMs = 100
const products = ['pontoon', 'rope', 'plank', 'anchor', 'lantern']

export async function webWorker(pool: Pool, tally: Tally, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await tally.request('visit', async () => {
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        await visit(client, tally)
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
        throw error
      } finally {
        // A connection in an unknown state must not serve the next visitor.
        client.release(failure)
      }
    })
    await delay(thinkMs)
  }
}

async function visit(client: PoolClient, tally: Tally): Promise<void> {
  const id = await placeOrder(client)
  tally.ordersPlaced += 1
  await expectStatus(client, id, 'placed')
  await client.query(`UPDATE orders SET status = 'paid' WHERE id = $1`, [id])
  await expectStatus(client, id, 'paid')
  await client.query(`UPDATE orders SET status = 'shipped' WHERE id = $1`, [id])
}

/** An order and its items belong together: one transaction, with a prepared statement in it. */
async function placeOrder(client: PoolClient): Promise<string> {
  await client.query('BEGIN')
  const inserted = await client.query<{ id: string }>(
    'INSERT INTO orders (customer_id) VALUES ($1) RETURNING id',
    [1 + Math.floor(Math.random() * customersCount)],
  )
  const id = inserted.rows[0]?.id
  if (id === undefined) throw new Error('no id came back for a new order')
  const items = 1 + Math.floor(Math.random() * itemsMax)
  for (let line = 1; line <= items; line += 1) {
    await client.query({
      name: 'add-item',
      text: `INSERT INTO order_items (order_id, line, product, quantity, price)
             VALUES ($1, $2, $3, $4, $5)`,
      values: [id, line, products[line % products.length], line, 9.5 + line],
    })
  }
  await client.query(
    `UPDATE orders SET total = (
       SELECT sum(quantity * price) FROM order_items WHERE order_id = orders.id
     ) WHERE id = $1`,
    [id],
  )
  await client.query('COMMIT')
  return id
}

async function expectStatus(client: PoolClient, id: string, expected: string): Promise<void> {
  const found = await client.query<{ status: string }>(
    'SELECT status, total FROM orders WHERE id = $1',
    [id],
  )
  const status = found.rows[0]?.status
  if (status !== expected) {
    throw new Error(`order ${id} is ${status ?? 'not there'} right after it was ${expected}`)
  }
}
