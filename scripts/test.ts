/**
 * Runs the tests: makes sure that the databases they need are installed, runs each file and ends
 * with one line 'N passed, N failed'. `--soak` runs the long tests instead, paths choose files or
 * folders, `--grep=PATTERN` tests by name, `--jobs=N` and `--timeout=SECONDS` how.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bundle } from './lib/bundle.ts'
import { jobCount } from './lib/job-count.ts'
import { ensurePostgres, ensureTools, testTools } from './lib/requirements.ts'
import { runFiles } from './lib/run-files.ts'
import { TapResults } from './lib/tap-results.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** These run the built program; two of them must not build it at once. */
const builtFor = /^test\/demo/

const print = (line: string): boolean => process.stdout.write(`${line}\n`)

process.chdir(root)
process.exitCode = await main()

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      soak: { type: 'boolean', default: false },
      grep: { type: 'string', short: 'g' },
      jobs: { type: 'string' },
      timeout: { type: 'string' },
    },
  })
  const files = testFiles(positionals, values.soak ? '.soak.ts' : '.test.ts')
  await ensurePostgres()
  await ensureTools(testTools)
  if (files.some((file) => builtFor.test(file))) ensureBuilt()
  const results = new TapResults(print)
  const options = {
    jobs: Number(values.jobs ?? (values.soak ? 1 : jobCount())),
    timeoutSeconds: Number(values.timeout ?? (values.soak ? 3_600 : 300)),
    grep: values.grep,
    bundles: await bundle(root, files),
  }
  await runFiles(files, options, results)
  results.end(files)
  const { passed, failed, skipped } = results.counts
  const nothing = passed === 0 && failed === 0 ? 1 : 0
  if (nothing > 0) print('no test ran')
  print(
    `${passed} passed, ${failed + nothing} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`,
  )
  return failed + nothing === 0 ? 0 : 1
}

function ensureBuilt(): void {
  if (existsSync('dist/main.js')) return
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' })
}

function testFiles(paths: readonly string[], suffix: string): string[] {
  const found = (paths.length === 0 ? ['test'] : paths).flatMap((path) => {
    if (!existsSync(path)) throw new Error(`${path} does not exist`)
    if (statSync(path).isFile()) return [path]
    return readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(path, name))
  })
  return [...new Set(found.map((path) => relative(root, resolve(path))))].toSorted()
}
