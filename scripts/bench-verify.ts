/**
 * `npm run bench:verify -- [--scale N] [--jobs N] [--rounds N] [--json FILE]`: how many pgbench rows
 * a second `pontoon verify` compares between two PostgreSQL 15 on this machine, and how many one
 * server alone hashes. Told in docs/benchmarks.md.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { verifyDefaults, verifyTables } from '../src/migration/pg/verify/verify-tables.ts'
import { postgresBinFolder } from '../test/support/postgres-binaries.ts'
import { startVerifyPair, type VerifyPair } from '../test/support/verify-pair.ts'
import { commit, machineFacts } from './bench/machine.ts'
import { runScript, UsageError } from './command-line.ts'
import { sides } from '../src/shared/side.ts'

const usage = `Usage: npm run bench:verify -- [--scale N] [--jobs N] [--chunk-rows N] [--rounds N] [--json FILE]

  --scale N       100,000 rows each (default 20)
  --jobs N        chunks compared at once (default ${verifyDefaults.jobs})
  --chunk-rows N  rows of a chunk, about (default ${verifyDefaults.chunkRows})
  --rounds N      the median counts (default 5)
  --json FILE     write the figures there, too
  --help`

const database = 'bench'

/** The plainest hash of all rows in one session. */
const hashSql = `SET max_parallel_workers_per_gather = 0;
  SELECT sum(hashtextextended(concat_ws(',', aid, bid, abalance, filler), 0)) FROM pgbench_accounts`

interface Round {
  readonly rowsPerSecond: number
  /** One session, one server. */
  readonly hashedPerSecond: number
}

await runScript(usage, async (argv) => {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      scale: { type: 'string', default: '20' },
      jobs: { type: 'string', default: String(verifyDefaults.jobs) },
      'chunk-rows': { type: 'string', default: String(verifyDefaults.chunkRows) },
      rounds: { type: 'string', default: '5' },
      json: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help === true) {
    console.log(usage)
    return
  }
  const options = {
    scale: positive(values.scale, '--scale'),
    jobs: positive(values.jobs, '--jobs'),
    chunkRows: positive(values['chunk-rows'], '--chunk-rows'),
    rounds: positive(values.rounds, '--rounds'),
  }
  const machine = machineFacts()
  console.log(`${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}`)
  console.log(`commit ${commit()}, load average ${machine.loadAverage.toFixed(2)}`)
  const pair = await startVerifyPair(15, 15)
  try {
    const rounds = await measure(pair, options)
    const figures = {
      rowsPerSecond: median(rounds.map((round) => round.rowsPerSecond)),
      hashedPerSecond: median(rounds.map((round) => round.hashedPerSecond)),
    }
    console.log(
      `\nmedian of ${rounds.length}: verify compares ${figures.rowsPerSecond} rows/s, ` +
        `one server hashes ${figures.hashedPerSecond} rows/s`,
    )
    if (values.json !== undefined) {
      const record = { commit: commit(), machine, options, rounds, figures }
      writeFileSync(values.json, `${JSON.stringify(record, null, 2)}\n`)
    }
  } finally {
    await pair.stop()
  }
})

async function measure(
  pair: VerifyPair,
  {
    scale,
    jobs,
    chunkRows,
    rounds,
  }: { scale: number; jobs: number; chunkRows: number; rounds: number },
): Promise<readonly Round[]> {
  const bench = await pair.database(database, '')
  await Promise.all(sides.map((side) => fill(pair, side, scale)))
  const done: Round[] = []
  for (let round = 0; round < rounds; round += 1) {
    const { data } = await verifyTables({ context: bench.context, jobs, chunkRows })
    const rows = data.tables.reduce((sum, table) => sum + table.rows, 0)
    if (data.tables.some(({ differing }) => differing > 0)) throw new Error('the sides differ')
    const startedMs = performance.now()
    await bench.query('source', hashSql)
    const hashedMs = performance.now() - startedMs
    const figures = {
      rowsPerSecond: Math.round((rows * 1_000) / data.elapsedMs),
      hashedPerSecond: Math.round((scale * 100_000 * 1_000) / hashedMs),
    }
    console.log(
      `round ${round + 1}: ${figures.rowsPerSecond} rows/s, ${figures.hashedPerSecond} hashed/s`,
    )
    done.push(figures)
  }
  return done
}

async function fill(pair: VerifyPair, side: (typeof sides)[number], scale: number): Promise<void> {
  const { port, password, superuser } = pair.servers[side]
  await promisify(execFile)(
    join(postgresBinFolder(15), 'pgbench'),
    [
      '-i',
      '-q',
      '-s',
      String(scale),
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-U',
      superuser,
      database,
    ],
    { env: { ...process.env, PGPASSWORD: password } },
  )
}

function positive(text: string, option: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0) return number
  throw new UsageError(`${option}: '${text}' is no whole number above 0`)
}

function median(list: readonly number[]): number {
  const sorted = list.toSorted((one, two) => one - two)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
