/**
 * Looks into both databases when all is over: is every record that the shop holds an
 * acknowledgement for there, exactly once, on either side; and does the money add up?
 */
import { checkRecords } from '../../test/support/record-check.ts'
import type { PostgresServer } from '../../test/support/postgres.ts'
import type { WriterRecords } from './sample-app/records.ts'
import { accountsCount, databaseName, openingBalance } from './schema.ts'

export interface Evidence {
  readonly acknowledged: number
  readonly stored: number
  readonly lost: number
  readonly duplicated: number
  /** Records that nobody has begun. */
  readonly unexpected: number
  /** Of all accounts together. */
  readonly money: number
  /** Accounts whose balance is not what their transfers make of it, and orders likewise. */
  readonly unbalanced: number
}

export const expectedMoney = accountsCount * openingBalance

export async function readEvidence(
  server: PostgresServer,
  records: readonly WriterRecords[],
): Promise<Evidence> {
  const stored = await server.query<{ writer: number; number: number }>(
    `SELECT split_part(reference, '-', 1)::int AS writer, split_part(reference, '-', 2)::int AS number
     FROM (SELECT reference FROM orders WHERE reference IS NOT NULL
           UNION ALL SELECT reference FROM transfers) r`,
    databaseName,
  )
  const attempts = records.flatMap(({ writer, begun, inDoubt }) => {
    const doubtful = new Set(inDoubt)
    return Array.from({ length: begun }, (_, number) => ({
      writer,
      number,
      acknowledged: !doubtful.has(number),
    }))
  })
  const report = checkRecords({ attempts, stored, errors: [], longestGapMs: 0 })
  return {
    acknowledged: report.acknowledged,
    stored: stored.length,
    lost: report.lost.length,
    duplicated: report.duplicated.length,
    unexpected: report.unexpected.length,
    ...(await readMoney(server)),
  }
}

async function readMoney(server: PostgresServer): Promise<Pick<Evidence, 'money' | 'unbalanced'>> {
  const rows = await server.query<{ money: string; unbalanced: string }>(
    `WITH moved AS (
       SELECT account, sum(amount) AS amount FROM (
         SELECT to_account AS account, amount FROM transfers
         UNION ALL SELECT from_account, -amount FROM transfers) t GROUP BY account)
     SELECT (SELECT sum(balance) FROM accounts)::text AS money,
       ((SELECT count(*) FROM accounts a LEFT JOIN moved m ON m.account = a.id
         WHERE a.balance <> a.opening + coalesce(m.amount, 0)) +
        (SELECT count(*) FROM orders o WHERE o.total <>
          (SELECT sum(quantity * price) FROM order_items i WHERE i.order_id = o.id)))::text
       AS unbalanced`,
    databaseName,
  )
  return { money: Number(rows[0]?.money), unbalanced: Number(rows[0]?.unbalanced) }
}
