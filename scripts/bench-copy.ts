/**
 * `npm run bench:copy -- [options]`: the same database copied by Pontoon and by pgcopydb in turn,
 * through indexes, keys and statistics. What is measured is in docs/benchmarks.md.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { commit, machineFacts } from './bench/machine.ts'
import { prepareCopy, type CopyBench } from './bench/copy/databases.ts'
import { runPeer, type CopyPeer, type CopyResult } from './bench/copy/peers.ts'
import { alignColumns, digits } from './bench/table.ts'
import { parseWholeNumber, runScript, UsageError } from './command-line.ts'
import { ensureTools } from './lib/requirements.ts'
import { median, ratio } from './statistics.ts'

const usage = `npm run bench:copy -- [options]

  --megabytes N         size of the source, half pgbench, half wide rows (default: 5000)
  --jobs N              tables, and indexes, at once (default: 4)
  --rounds N            rounds, at least 1 (default: 3)
  --json FILE           write every run to FILE
  --help`

const peers: readonly CopyPeer[] = ['pontoon', 'pgcopydb']

await runScript(usage, async (argv, signal) => {
  const options = parse(argv)
  if (options === undefined) {
    console.log(usage)
    return
  }
  await ensureTools(['postgres', 'pgbench', 'psql', 'pgcopydb'])
  const machine = machineFacts()
  console.log(`${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}`)
  console.log(`commit ${commit()}, load average ${machine.loadAverage.toFixed(2)}`)
  const bench = await prepareCopy(options.megabytes, signal)
  const results: CopyResult[] = []
  try {
    console.log(`source: ${(bench.sourceBytes / 1e6).toFixed(0)} MB with indexes`)
    // The first copy makes the target's WAL files, which all others find.
    const first = await runPeer(bench, 'pgcopydb', options.jobs, signal)
    console.log(`first, not counted: pgcopydb ${first.seconds.toFixed(1)} s`)
    for (let round = 0; round < options.rounds; round += 1) {
      const turn = round % 2 === 0 ? peers : peers.toReversed()
      for (const peer of turn) {
        const result = await runPeer(bench, peer, options.jobs, signal)
        results.push(result)
        const memory = `${result.peakMegabytes.toFixed(0)} MB`
        const { peer: own, source, target } = result.cpuSeconds
        const cpu = [own, source, target].map((one) => one.toFixed(1)).join(' + ')
        console.log(
          `round ${round + 1}: ${peer} ${result.seconds.toFixed(1)} s, CPU ${cpu} s, peak ${memory}`,
        )
      }
    }
  } finally {
    await bench.stop()
  }
  console.log(`load average ${machineFacts().loadAverage.toFixed(2)} at the end\n`)
  console.log(tableOf(bench, results))
  if (options.jsonFile === undefined) return
  const command = ['npm', 'run', 'bench:copy', '--', ...argv].join(' ')
  const { sourceBytes } = bench
  const record = { command, commit: commit(), machine, sourceBytes, results }
  writeFileSync(options.jsonFile, `${JSON.stringify(record, null, 2)}\n`)
})

function tableOf({ sourceBytes }: CopyBench, results: readonly CopyResult[]): string {
  const secondsOf = (peer: CopyPeer): readonly number[] =>
    results.filter((one) => one.peer === peer).map(({ seconds }) => seconds)
  const theirs = secondsOf('pgcopydb')
  const rows = peers.map((peer) => {
    const seconds = secondsOf(peer)
    const middle = median(seconds)
    const ratios = seconds.map((own, round) => ratio(theirs[round], own) ?? Number.NaN)
    const own = results.filter((one) => one.peer === peer)
    const memory = own.map((one) => one.peakMegabytes)
    const cpu = (['peer', 'source', 'target'] as const).map((whose) =>
      digits(median(own.map((one) => one.cpuSeconds[whose])), 1),
    )
    return [
      peer,
      digits(middle, 1),
      digits(middle === undefined ? undefined : sourceBytes / 1e6 / middle, 0),
      digits(median(ratios), 2),
      ...cpu,
      digits(Math.max(...memory), 0),
    ]
  })
  const head = ['peer', 's', 'MB/s', 'of pgcopydb', 'CPU s', 'source', 'target', 'peak MB']
  return alignColumns([head, ...rows], new Set([0]))
}

function parse(argv: readonly string[]) {
  const text = { type: 'string' } as const
  const options = { megabytes: text, jobs: text, rounds: text, json: text } as const
  let values
  try {
    values = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: 'boolean' } },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  if (values.help === true) return undefined
  return {
    megabytes: parseWholeNumber('megabytes', values.megabytes ?? '5000', 20),
    jobs: parseWholeNumber('jobs', values.jobs ?? '4', 1, 64),
    rounds: parseWholeNumber('rounds', values.rounds ?? '3', 1),
    jsonFile: values.json,
  }
}
