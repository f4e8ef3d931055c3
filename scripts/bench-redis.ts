/**
 * `npm run bench:redis -- [options]`: redis-benchmark against Redis, twemproxy and Pontoon in turn.
 * What is measured and why is in docs/benchmarks.md; the parts are in scripts/bench/redis/.
 */
import { parseOptions, usage } from './bench/redis/options.ts'
import { formatTable, summarise } from './bench/redis/report.ts'
import { measure } from './bench/redis/run.ts'
import { runBenchmark } from './bench/script.ts'

await runBenchmark({
  script: 'bench:redis',
  usage,
  parse: parseOptions,
  measure,
  report: ({ runs }) => {
    const summary = summarise(runs)
    return { table: formatTable(summary), summary }
  },
})
