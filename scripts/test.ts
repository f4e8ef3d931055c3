/**
 * Runs the tests: makes sure that the databases they need are installed, gives the files to tap's
 * runner and ends with one line 'N passed, N failed'. `--soak` runs the long tests instead; paths
 * choose files or folders; other options go to tap (`-- test/routing -g percent`).
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { ensurePostgres, ensureTools } from './lib/requirements.ts'
import { TapResults } from './lib/tap-results.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tap = join(root, 'node_modules', '.bin', 'tap')
const soakTimeoutSeconds = 3_600

interface Selection {
  readonly files: readonly string[]
  readonly tapOptions: readonly string[]
}

process.chdir(root)
process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const soak = args.includes('--soak')
  const selection = select(
    args.filter((argument) => argument !== '--soak'),
    soak,
  )
  await ensurePostgres()
  await ensureTools(['psql', 'pgbench', 'psycopg2'])
  if (selection.files.length > 0 && !isTapBuilt()) await buildTap()
  const results = new TapResults((line) => process.stdout.write(`${line}\n`))
  const options = soak ? [`--timeout=${soakTimeoutSeconds}`, '--jobs=1'] : []
  const code = selection.files.length === 0 ? 0 : await runTap(results, selection, options)
  results.end(selection.files)
  return report(results, code)
}

function report(results: TapResults, code: number): number {
  const { passed, failed, skipped } = results.counts
  // Whatever the reason for tap's exit code is, it must not look like success.
  const unexplained = failed === 0 && (code !== 0 || passed === 0) ? 1 : 0
  if (unexplained > 0) {
    process.stdout.write(passed === 0 ? 'no test ran\n' : `tap ended with ${code}\n`)
  }
  const tail = skipped === 0 ? '' : `, ${skipped} skipped`
  process.stdout.write(`${passed} passed, ${failed + unexplained} failed${tail}\n`)
  return failed + unexplained === 0 ? 0 : 1
}

function select(args: readonly string[], soak: boolean): Selection {
  const suffix = soak ? '.soak.ts' : '.test.ts'
  const isOption = (argument: string, index: number): boolean =>
    argument.startsWith('-') || args[index - 1] === '-g'
  const paths = args.filter((argument, index) => !isOption(argument, index))
  const files = (paths.length === 0 ? ['test'] : paths).flatMap((path) => testFiles(path, suffix))
  return { files: [...new Set(files)].toSorted(), tapOptions: args.filter(isOption) }
}

function testFiles(path: string, suffix: string): string[] {
  if (!existsSync(path)) throw new Error(`${path} does not exist`)
  if (statSync(path).isFile()) return [relative(root, path)]
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(suffix))
    .map((name) => relative(root, join(path, name)))
}

/**
 * tap compiles its test class for the plugins of .taprc into node_modules, with a link into .tap.
 * Where that was not done, the first `tap run` does it and fails.
 */
function isTapBuilt(): boolean {
  const built = join(root, 'node_modules/@tapjs/test/test-built/dist/esm/index.js')
  const linked = existsSync(join(root, '.tap/plugins/node_modules/@tapjs/core'))
  if (!linked || !existsSync(built)) return false
  return !readFileSync(built, 'utf8').includes('@tapjs/typescript')
}

async function buildTap(): Promise<void> {
  process.stderr.write('building tap for its plugins\n')
  const { code, output } = await run(['build'])
  if (code !== 0) throw new Error(`tap build ended with ${code}:\n${output.join('\n')}`)
}

async function runTap(
  results: TapResults,
  selection: Selection,
  options: readonly string[],
): Promise<number> {
  const args = ['run', '--reporter=tap', ...options, ...selection.tapOptions, ...selection.files]
  return (await run(args, (line) => results.line(line))).code
}

async function run(
  args: readonly string[],
  onLine?: (line: string) => void,
): Promise<{ code: number; output: string[] }> {
  const child = spawn(tap, args, { stdio: ['ignore', 'pipe', onLine ? 'inherit' : 'pipe'] })
  const output: string[] = []
  const exit = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  child.stderr?.on('data', (bytes: Buffer) => output.push(bytes.toString()))
  if (child.stdout === null) throw new Error('tap has no standard output')
  for await (const line of createInterface({ input: child.stdout })) {
    if (onLine === undefined) output.push(line)
    else onLine(line)
  }
  return { code: await exit, output }
}
