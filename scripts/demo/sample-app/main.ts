/**
 * The sample application: a small shop that knows one connection string (DATABASE_URL) and has
 * never heard of Pontoon. Web workers place and pay orders; back-office workers list and sum them
 * up. It retries nothing: every error that reaches it is counted and reported.
 *
 * One line of JSON on standard output several times a second says how it is doing (tally.ts).
 * Ends on SIGTERM or when its parent closes standard input.
 */
import { Pool } from 'pg'
import { backOfficeWorker } from './back-office.ts'
import { Tally } from './tally.ts'
import { webWorker } from './web.ts'

const webConnections = 6
const backOfficeConnections = 16
const reportIntervalMs = 200
const connectTimeoutMs = 10_000

const url = process.env['DATABASE_URL']
if (url === undefined) throw new Error('DATABASE_URL is not set')

const tally = new Tally()
const stopping = new AbortController()
process.on('SIGTERM', () => stopping.abort())
process.stdin.on('end', () => stopping.abort()).resume()

const web = openPool(url, webConnections, 'shop-web')
const backOffice = openPool(url, backOfficeConnections, 'shop-back-office')
const reporting = setInterval(report, reportIntervalMs)

await Promise.all([
  ...Array.from({ length: webConnections }, () => webWorker(web, tally, stopping.signal)),
  ...Array.from({ length: backOfficeConnections }, () =>
    backOfficeWorker(backOffice, tally, stopping.signal),
  ),
])
clearInterval(reporting)
await Promise.all([web.end(), backOffice.end()])
report()
process.stdin.destroy()

function openPool(connectionString: string, max: number, name: string): Pool {
  const pool = new Pool({
    connectionString,
    max,
    application_name: name,
    connectionTimeoutMillis: connectTimeoutMs,
  })
  // A connection that breaks while nobody uses it is an error too.
  pool.on('error', (error) => tally.countError('idle connection', error))
  return pool
}

function report(): void {
  process.stdout.write(`${JSON.stringify(tally.snapshot())}\n`)
}
