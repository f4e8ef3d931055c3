/**
 * A till of the sample application: moves money from one customer's account to another's and
 * writes down the transfer, in one transaction. However the databases change places, the money
 * must stay the same.
 */
import type { PoolClient } from 'pg'
import type { Pace } from './pace.ts'
import { withClient } from './worker.ts'
import type { WorkerParts } from './worker.ts'

const accountsCount = 100
const amountMax = 20
const restMs = 40

export async function till({ pool, tally, signal }: WorkerParts): Promise<void> {
  const pace = tally.pace()
  const records = tally.records()
  while (!signal.aborted) {
    await tally.request('transfer', async () => {
      const number = records.begin()
      await withClient(pool, (client) => transfer(client, pace, records.reference(number)))
      records.acknowledge(number)
    })
    await pace.rest(restMs)
  }
}

async function transfer(client: PoolClient, pace: Pace, reference: string): Promise<void> {
  // The lower account first, so that two tills never wait for each other.
  const low = 1 + Math.floor(Math.random() * (accountsCount - 1))
  const high = low + 1 + Math.floor(Math.random() * (accountsCount - low))
  const amount = Math.floor(Math.random() * 2 * amountMax) - amountMax
  const change = 'UPDATE accounts SET balance = balance + $2 WHERE id = $1'
  await pace.ask(client, 'BEGIN')
  await pace.ask(client, { name: 'change-balance', text: change, values: [low, -amount] })
  await pace.ask(client, { name: 'change-balance', text: change, values: [high, amount] })
  await pace.ask(
    client,
    'INSERT INTO transfers (reference, from_account, to_account, amount) VALUES ($1, $2, $3, $4)',
    [reference, low, high, amount],
  )
  const { command } = await pace.ask(client, 'COMMIT')
  // COMMIT of a failed transaction succeeds with the tag ROLLBACK.
  if (command !== 'COMMIT') throw new Error(`COMMIT answered ${command}`)
}
