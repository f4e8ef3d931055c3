/**
 * Runs test files, a few at a time, each as a plain `node` process, and gives their TAP to
 * TapResults. tap's own runner is not used: it preloads hooks into every Node process below it,
 * also into the sidecars and compilers that tests start, and TypeScript 7 does not run under them.
 */
import { createInterface } from 'node:readline'
import { startChild } from '../../test/support/child-processes.ts'
import type { Child } from '../../test/support/child-processes.ts'
import { bundledArgs, bundlesVariable } from '../../test/support/program.ts'
import { lanesOf } from './lanes.ts'
import type { TapResults } from './tap-results.ts'

export interface RunOptions {
  readonly jobs: number
  /** A file that takes longer is ended and counts as failed. */
  readonly timeoutSeconds: number
  /** Only tests whose name matches this regular expression, if any. */
  readonly grep: string | undefined
  /** Where bundle.ts has put them. */
  readonly bundles: string
}

interface Outcome {
  readonly lines: readonly string[]
  readonly errors: string
  readonly exit: number | NodeJS.Signals
  readonly timedOut: boolean
  readonly tookMs: number
}

const errorCharsMax = 20_000
/** tap itself ends a file at the timeout and says what was open; after this much more we do. */
const graceMs = 5_000
const killAfterMs = 5_000
/** For output still in the pipe; not for ever, because a stray child may hold the pipe open. */
const drainMs = 2_000

export async function runFiles(
  files: readonly string[],
  options: RunOptions,
  results: TapResults,
): Promise<void> {
  const next = lanesOf(files)
  const work = async (_: unknown, lane: number): Promise<void> => {
    for (let file = next(lane); file !== undefined; file = next(lane)) {
      report(file, await runFile(file, options), results)
    }
  }
  await Promise.all(Array.from({ length: options.jobs }, work))
}

/** As a subtest named after the file, so that one whole file is shown at a time. */
function report(file: string, outcome: Outcome, results: TapResults): void {
  const before = total(results)
  results.line(`# Subtest: ${file}`)
  for (const line of outcome.lines) results.line(`    ${line}`)
  const took = `# time=${Math.round(outcome.tookMs)}ms`
  if (outcome.exit === 0 && total(results) === before) {
    results.line(`ok - ${file} # SKIP no tests found`)
    return
  }
  if (outcome.exit === 0) return results.line(`ok - ${file} ${took}`)
  results.line(`not ok - ${file} ${took}`)
  const reason = outcome.timedOut ? 'ended because it took too long' : `ended with ${outcome.exit}`
  results.note([reason, ...outcome.errors.trimEnd().split('\n')])
}

async function runFile(file: string, options: RunOptions): Promise<Outcome> {
  const startMs = performance.now()
  const child = await startChild(process.execPath, bundledArgs(options.bundles, file), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      TAP: '1',
      [bundlesVariable]: options.bundles,
      TAP_TIMEOUT: String(options.timeoutSeconds),
      ...(options.grep === undefined ? {} : { TAP_GREP: options.grep }),
    },
  })
  let timedOut = false
  const timer = setTimeout(
    () => {
      timedOut = true
      end(child)
    },
    options.timeoutSeconds * 1_000 + graceMs,
  )
  let errors = ''
  child.process.stderr?.on('data', (bytes: Buffer) => {
    errors = (errors + bytes.toString()).slice(-errorCharsMax)
  })
  const lines: string[] = []
  if (child.process.stdout !== null) {
    createInterface({ input: child.process.stdout }).on('line', (line) => lines.push(line))
  }
  const closed = new Promise((resolve) => child.process.once('close', resolve))
  const exit = await child.exited
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, drainMs).unref())])
  clearTimeout(timer)
  return { lines, errors, exit, timedOut, tookMs: performance.now() - startMs }
}

function end(child: Child): void {
  child.process.kill('SIGTERM')
  setTimeout(() => child.process.kill('SIGKILL'), killAfterMs).unref()
}

function total(results: TapResults): number {
  const { passed, failed, skipped } = results.counts
  return passed + failed + skipped
}
