/**
 * `npm run bench:pg -- [options]`: pgbench against PostgreSQL, PgBouncer and Pontoon in turn.
 * What is measured and why is in docs/benchmarks.md; the parts are in scripts/bench/.
 */
import { parseOptions, usage } from './bench/options.ts'
import { formatTable, summarise } from './bench/report.ts'
import { measure } from './bench/run.ts'
import { runBenchmark } from './bench/script.ts'

await runBenchmark({
  script: 'bench:pg',
  usage,
  parse: parseOptions,
  measure,
  report: ({ runs }) => {
    const summary = summarise(runs)
    return { table: formatTable(summary), summary }
  },
})
