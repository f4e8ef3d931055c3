/**
 * The sample application: a small shop that knows one connection string (DATABASE_URL) and has
 * never heard of Pontoon. Web workers place and pay orders, tills move money, back-office workers
 * list and sum up. It retries nothing: every error that reaches it is counted and reported.
 *
 * One line of JSON on standard output several times a second says how it is doing (tally.ts).
 * Ends on SIGTERM or when its parent closes standard input.
 */
import { Pool } from 'pg'
import { backOfficeWorker } from './back-office.ts'
import { Tally } from './tally.ts'
import { till } from './till.ts'
import { webWorker } from './web.ts'
import type { WorkerParts } from './worker.ts'

const backOfficeConnections = 20
const webConnections = 6
const tillConnections = 4
const reportIntervalMs = 200
const connectTimeoutMs = 10_000

const url = process.env['DATABASE_URL']
if (url === undefined) throw new Error('DATABASE_URL is not set')

const tally = new Tally()
const stopping = new AbortController()
process.on('SIGTERM', () => stopping.abort())
process.stdin.on('end', () => stopping.abort()).resume()

const reporting = setInterval(report, reportIntervalMs)
await Promise.all([
  staff(url, 'shop-back-office', backOfficeConnections, backOfficeWorker),
  staff(url, 'shop-web', webConnections, webWorker),
  staff(url, 'shop-till', tillConnections, till),
])
clearInterval(reporting)
report()
process.stdin.destroy()

/** Settles when all have ended. */
async function staff(
  connectionString: string,
  name: string,
  count: number,
  work: (parts: WorkerParts) => Promise<void>,
): Promise<void> {
  const pool = new Pool({
    connectionString,
    max: count,
    application_name: name,
    connectionTimeoutMillis: connectTimeoutMs,
  })
  // A connection that breaks while nobody uses it is an error too.
  pool.on('error', (error) => tally.countError('idle connection', error))
  const parts = { pool, tally, signal: stopping.signal }
  await Promise.all(Array.from({ length: count }, () => work(parts)))
  await pool.end()
}

function report(): void {
  process.stdout.write(`${JSON.stringify(tally.snapshot())}\n`)
}
