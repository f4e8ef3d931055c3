/**
 * `npm run demo -- [options]`: the command line of demo/run.ts. Exit code 0 only if no request
 * failed and every step moved the reads as it should.
 */
import { parseOptions, usage, UsageError } from './demo/options.ts'
import type { DemoOptions } from './demo/options.ts'
import { runDemo } from './demo/run.ts'
import { lineView, terminalView } from './demo/view.ts'

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // The second one means now: the exit hook of child-processes.ts ends what is left.
    if (interrupted.signal.aborted) process.exit(130)
    interrupted.abort(new Error(`ended by ${name}`))
  })
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options === undefined) console.log(usage)
  else await demo(options)
} catch (error) {
  if (interrupted.signal.aborted) {
    console.error(String(interrupted.signal.reason))
    process.exitCode = 130
  } else if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${usage}`)
    process.exitCode = 2
  } else {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

async function demo(options: DemoOptions): Promise<void> {
  const view = process.stdout.isTTY
    ? terminalView(process.stdout)
    : lineView((line) => console.log(line))
  const { faults } = await runDemo(options, view, interrupted.signal)
  if (faults.length > 0) process.exitCode = 1
}
