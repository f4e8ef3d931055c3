/**
 * `npm run demo -- [options]`: the command line of demo/run.ts. Exit code 0 only if no request
 * failed, nothing was lost or done twice, and every step moved what it should.
 */
import { runScript } from './command-line.ts'
import { parseOptions, usage } from './demo/options.ts'
import { runDemo } from './demo/run.ts'
import { lineView, terminalView } from './demo/view.ts'

await runScript(usage, async (argv, signal) => {
  const options = parseOptions(argv)
  if (options === undefined) {
    console.log(usage)
    return
  }
  const view = process.stdout.isTTY
    ? terminalView(process.stdout)
    : lineView((line) => console.log(line))
  const faults = await runDemo(options, view, signal)
  if (faults.length > 0) process.exitCode = 1
})
