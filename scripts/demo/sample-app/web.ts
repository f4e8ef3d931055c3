/**
 * A web worker of the sample application: places an order, looks at it, has it paid and shipped.
 * It must always see its own writes: an order that it cannot find again is an error.
 */
import type { PoolClient } from 'pg'
import type { Pace } from './pace.ts'
import { withClient } from './worker.ts'
import type { WorkerParts } from './worker.ts'

const customersCount = 200
const itemsMax = 4
const restMs = 200
const products = ['pontoon', 'rope', 'plank', 'anchor', 'lantern']

export async function webWorker({ pool, tally, signal }: WorkerParts): Promise<void> {
  const pace = tally.pace()
  const records = tally.records()
  while (!signal.aborted) {
    await tally.request('visit', () =>
      withClient(pool, async (client) => {
        const number = records.begin()
        const id = await placeOrder(client, pace, records.reference(number))
        records.acknowledge(number)
        await followOrder(client, pace, id)
      }),
    )
    await pace.rest(restMs)
  }
}

/** An order and its items belong together: one transaction, with a prepared statement in it. */
async function placeOrder(client: PoolClient, pace: Pace, reference: string): Promise<string> {
  await pace.ask(client, 'BEGIN')
  const inserted = await pace.ask<{ id: string }>(
    client,
    'INSERT INTO orders (customer_id, reference) VALUES ($1, $2) RETURNING id',
    [1 + Math.floor(Math.random() * customersCount), reference],
  )
  const id = inserted.rows[0]?.id
  if (id === undefined) throw new Error('no id came back for a new order')
  const items = 1 + Math.floor(Math.random() * itemsMax)
  for (let line = 1; line <= items; line += 1) {
    await pace.ask(client, {
      name: 'add-item',
      text: `INSERT INTO order_items (order_id, line, product, quantity, price)
             VALUES ($1, $2, $3, $4, $5)`,
      values: [id, line, products[line % products.length], line, 9.5 + line],
    })
  }
  await pace.ask(
    client,
    `UPDATE orders SET total = (
       SELECT sum(quantity * price) FROM order_items WHERE order_id = orders.id
     ) WHERE id = $1`,
    [id],
  )
  const { command } = await pace.ask(client, 'COMMIT')
  if (command !== 'COMMIT') throw new Error(`COMMIT answered ${command}`)
  return id
}

async function followOrder(client: PoolClient, pace: Pace, id: string): Promise<void> {
  await expectStatus(client, pace, id, 'placed')
  // Invoices are numbered by a sequence that belongs to no column, and may not repeat.
  await pace.ask(
    client,
    `UPDATE orders SET status = 'paid', invoice = nextval('invoices') WHERE id = $1`,
    [id],
  )
  await expectStatus(client, pace, id, 'paid')
  await pace.ask(client, `UPDATE orders SET status = 'shipped' WHERE id = $1`, [id])
}

async function expectStatus(
  client: PoolClient,
  pace: Pace,
  id: string,
  expected: string,
): Promise<void> {
  const found = await pace.ask<{ status: string }>(
    client,
    'SELECT status, total FROM orders WHERE id = $1',
    [id],
  )
  const status = found.rows[0]?.status
  if (status !== expected) {
    throw new Error(`order ${id} is ${status ?? 'not there'} right after it was ${expected}`)
  }
}
