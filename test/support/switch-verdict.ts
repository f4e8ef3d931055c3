/** What has to hold once a switch is over, however it ended and whatever broke meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { RecordReport } from './record-client.ts'
import { accountsCount, balanceEach, type SwitchPair } from './switch-pair.ts'
import { until } from './until.ts'

type Side = 'source' | 'target'

const uniqueViolation = '23505'
const equalMs = 30_000

/** Leaves the table of records empty for the next time. */
export async function problemsOf(
  pair: SwitchPair,
  primary: Side,
  report: RecordReport,
): Promise<readonly string[]> {
  const problems: string[] = []
  for (const what of ['lost', 'duplicated', 'unexpected'] as const)
    if (report[what].length > 0) problems.push(`${what}: ${report[what].slice(0, 5).join(', ')}`)
  const clash = report.errors.find((error) => 'code' in error && error.code === uniqueViolation)
  if (clash !== undefined) problems.push(`a sequence was not carried over: ${clash.message}`)
  for (const side of ['source', 'target'] as const) {
    const isWritable = await canWrite(pair, side)
    if (isWritable !== (side === primary))
      problems.push(`${side} is ${isWritable ? 'writable' : 'not writable'}, primary ${primary}`)
    const mark = await markOf(pair, side, primary)
    if (mark !== primary) problems.push(`mark of ${side} says ${mark}, primary ${primary}`)
  }
  try {
    await sidesEqual(pair, primary)
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error))
  }
  await pair[primary].query('TRUNCATE records', 'shop')
  return problems
}

/** A side that was away for long is told a little after it is back. */
async function markOf(pair: SwitchPair, side: Side, expected: Side): Promise<string> {
  const deadlineMs = performance.now() + equalMs
  for (;;) {
    const [mark] = await pair[side].query('SELECT primary_side FROM pontoon.mark', 'shop')
    const found = String(mark?.['primary_side'])
    if (found === expected || performance.now() > deadlineMs) return found
    await sleep(100)
  }
}

/** As the application, past Pontoon. */
async function canWrite(pair: SwitchPair, side: Side): Promise<boolean> {
  const client = new Client({ connectionString: pair[side].url('shop', 'app', 'app') })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('BEGIN')
    await client.query('UPDATE accounts SET balance = balance WHERE id = 1')
    await client.query('ROLLBACK')
    return true
  } catch {
    return false
  } finally {
    await client.end()
  }
}

/** A row that is written now arrives, and with it all before it; the sums are what they must be. */
async function sidesEqual(pair: SwitchPair, primary: Side): Promise<void> {
  await pair[primary].query('INSERT INTO records (writer, number) VALUES (-1, -1)', 'shop')
  const sum = String(accountsCount * balanceEach)
  const sql = `SELECT (SELECT sum(balance) FROM accounts)::text AS balances,
    (SELECT md5(string_agg(id || ':' || balance, ',' ORDER BY id)) FROM accounts) AS accounts,
    (SELECT md5(string_agg(id || ':' || writer || ':' || number, ',' ORDER BY id)) FROM records)
      AS records`
  let seen = ''
  try {
    await until(
      async () => {
        const [[source], [target]] = await Promise.all([
          pair.source.query(sql, 'shop'),
          pair.target.query(sql, 'shop'),
        ])
        seen = JSON.stringify([source, target])
        return source?.['balances'] === sum && JSON.stringify(source) === JSON.stringify(target)
      },
      'both sides hold the same',
      equalMs,
    )
  } catch (error) {
    throw new Error(`the sides differ: ${seen}`, { cause: error })
  }
}
