/**
 * Holds the rules of the house that the linter cannot: layers, sizes, banned calls, dead files,
 * names shared with the documentation. The checks live in style/; each one is also run against a
 * small bad example here, because a check that finds nothing may be broken.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Registry, collectDefaultMetrics } from 'prom-client'
import tap from 'tap'
import { renderErrors } from '../scripts/lib/error-page.ts'
import { errorTable } from '../src/shared/errors.ts'
import { bannedCalls, marks, unfinishedMarks } from './style/banned.ts'
import { errorCodeDifferences, metricNames, unknownMetrics } from './style/documented-names.ts'
import { deadFiles, upwardImports } from './style/imports.ts'
import { functionLines, longFiles, longFunctions } from './style/sizes.ts'
import { codeOnly, readSources } from './style/source.ts'
import type { SourceFile } from './style/source.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const isTypeScript = (path: string): boolean => path.endsWith('.ts')
const sources = readSources(root, 'src', isTypeScript)
const scripts = readSources(root, 'scripts', isTypeScript)
const tests = readSources(root, 'test', isTypeScript)
const testSupport = tests.filter((file) => !file.path.endsWith('.test.ts'))
const everything = [...sources, ...scripts, ...tests]
const written = readSources(root, '.', (path) => /\.(?:ts|mjs|js|md|ya?ml|sh|tf)$/.test(path))

/** Where programs begin: the product, and the generators of documentation. */
const entries = ['src/main.ts', 'scripts/docs-config.ts', 'scripts/redis-commands.ts']

/** Names in documentation that look like metrics and are database objects: replication and roles. */
const databaseObjects = new Set<string>(['pontoon_owner'])

await tap.test('the repository', async (t) => {
  t.same(longFiles(everything), [], 'no file is too long')
  t.same(longFunctions([...sources, ...scripts, ...testSupport]), [], 'no function is too long')
  t.same(upwardImports(sources), [], 'layers import downwards only')
  t.same(deadFiles([...sources, ...scripts], entries), [], 'every file is in use')
  t.same(bannedCalls(everything), [], 'no banned calls')
  t.same(unfinishedMarks(written), [], 'no marks of unfinished work')
  t.ok(sources.length > 20, 'the sources were found')
})

await tap.test('docs/errors.md is the error table', async (t) => {
  const page = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  t.same(errorCodeDifferences(Object.keys(errorTable), page), [])
  t.equal(
    page,
    await renderErrors(errorTable),
    'as node --import=tsx scripts/docs-errors.ts writes it',
  )
})

await tap.test('every metric that is named anywhere exists', async (t) => {
  const registry = join(root, 'src/control/metrics.ts')
  const names = existsSync(registry)
    ? metricNames(readFileSync(registry, 'utf8'))
    : new Set<string>()
  const defaults = new Registry()
  collectDefaultMetrics({ register: defaults, prefix: 'pontoon_' })
  for (const { name } of await defaults.getMetricsAsJSON()) names.add(name)
  const folders = ['docs', 'deploy', 'terraform'].filter((folder) => existsSync(join(root, folder)))
  const pages = folders.flatMap((folder) =>
    readSources(root, folder, (path) => /\.(?:md|ya?ml|json|tf)$/.test(path)),
  )
  const readme = readSources(root, '.', (path) => path === 'README.md')
  t.same(unknownMetrics(names, [...pages, ...readme], databaseObjects), [])
})

const example = (path: string, text: string): SourceFile => ({ path, text })

const body = (lines: number): string => '  work()\n'.repeat(lines - 2)

await tap.test('the checks find what they are for: sizes', async (t) => {
  t.equal(longFiles([example('src/a.ts', 'x\n'.repeat(500))]).length, 0)
  t.equal(longFiles([example('src/a.ts', 'x\n'.repeat(501))]).length, 1)
  const shapes = {
    declaration: ['function a(b: { c: string }): Promise<{ d: number }> {', '}'],
    arrow: ['const a = async (b = { c: 1 }): Promise<void> => {', '}'],
    method: ['class A {\n  #a(b: string): asserts b is "x" {', '}\n}'],
    callback: ["call('{', (x) => {", '})'],
    getter: ['class A {\n  get a(): string | undefined {', '}\n}'],
  }
  for (const [name, [open, close]] of Object.entries(shapes)) {
    const text = (lines: number): string => `${open}\n${body(lines)}${close}\n`
    t.equal(longFunctions([example('src/a.ts', text(70))]).length, 0, `${name} of 70 lines`)
    t.equal(longFunctions([example('src/a.ts', text(71))]).length, 1, `${name} of 71 lines`)
  }
  const blocks = [
    'if (a) {',
    'const a = {',
    'interface A {',
    'class A extends B {',
    'switch (f()) {',
  ]
  for (const open of blocks) t.same(functionLines(`${open}\n${body(90)}}\n`), [], open)
})

await tap.test('the checks find what they are for: code apart from text', async (t) => {
  t.equal(codeOnly(`a('{') // }\n/* { */ b`), `a(' ')     \n        b`)
  t.equal(codeOnly('`x{${ { y: `}` } }{`'), '`  ${ { y: ` ` } } `')
  t.equal(codeOnly("/['{]/.test(a) / b / '}'"), "/    /.test(a) / b / ' '")
})

await tap.test('the checks find what they are for: imports', async (t) => {
  const imports = (path: string, what: string): number =>
    upwardImports([example(path, `import { a } from '${what}'\n`)]).length
  t.equal(imports('src/wire/pg/a.ts', '../../shared/b.ts'), 0)
  t.equal(imports('src/wire/pg/a.ts', '../../net/b.ts'), 1, 'upwards')
  t.equal(imports('src/wire/a.ts', '../config/b.ts'), 1, 'sideways')
  t.equal(imports('src/store/a.ts', '../routing/b.ts'), 0, 'sideways by exception')
  t.equal(imports('src/routing/a.ts', '../store/b.ts'), 1, 'the exception has a direction')
  t.equal(imports('src/proxy/a.ts', '../migration/b.ts'), 1, 'proxy and migration')
  t.equal(imports('src/cli/a.ts', '../main.ts'), 1, 'the entry point')
  t.equal(imports('src/cli/a.ts', '../../test/a.ts'), 1, 'out of src')
  t.equal(imports('src/new/a.ts', '../shared/a.ts'), 1, 'a folder that is no layer')
  t.equal(imports('src/net/a.ts', 'fastify'), 1, 'a package at home elsewhere')
  t.equal(imports('src/control/admin/a.ts', 'fastify'), 0)
  const multiline =
    "import type {\n  A,\n  B,\n} from '../control/a.ts'\nexport * from '../cli/b.ts'\n"
  t.equal(upwardImports([example('src/net/a.ts', multiline)]).length, 2)

  const files = [
    example('src/main.ts', "import './a.ts'\nconst b = await import('./b.ts')\n"),
    example('src/a.ts', "new Worker(new URL('c.ts', import.meta.url))"),
    example('src/b.ts', ''),
    example('src/c.ts', ''),
    example('src/d.ts', "import './a.ts'"),
  ]
  t.match(deadFiles(files, ['src/main.ts']), [/^src\/d\.ts/])
  t.equal(deadFiles(files, ['src/main.ts']).length, 1)
})

await tap.test('the checks find what they are for: banned calls and marks', async (t) => {
  const count = (path: string, text: string): number => bannedCalls([example(path, text)]).length
  t.equal(count('src/net/a.ts', 'console.log(1)'), 1)
  t.equal(count('src/cli/a.ts', 'console.log(1)'), 0)
  t.equal(count('src/net/a.ts', "// console.log(1)\nconst a = 'process.exit()'"), 0)
  t.equal(count('src/control/a.ts', 'process.exit(1)\nMath.random()\nnew Date()'), 3)
  t.equal(count('src/control/a.ts', 'new Date(wallMs)'), 0)
  t.equal(count('src/shared/clock.ts', 'Date.now() + performance.now()'), 0)
  t.equal(count('src/proxy/a.ts', 'process.env.HOME'), 1)
  t.equal(count('src/wire/a.ts', 'class A extends EventEmitter {}\nreadFileSync(a)'), 2)
  t.equal(count('test/a.test.ts', 't.only(1)'), 1)
  t.equal(unfinishedMarks([example('docs/a.md', `x ${marks[0]}: y`)]).length, 1)
  t.equal(unfinishedMarks([example('docs/a.md', 'mktemp /tmp/aXXXXXX')]).length, 0)
})

await tap.test('the checks find what they are for: names', async (t) => {
  const page = '| `A_B` | x |\n| `OLD` | y |\n'
  t.match(errorCodeDifferences(['A_B', 'NEW'], page), [/^NEW is not/, /OLD/])
  const names = metricNames("name: 'pontoon_a_seconds', help: 'pontoon_ b', 'pontoon_c'")
  t.same([...names], ['pontoon_a_seconds', 'pontoon_c'])
  const text = 'rate(pontoon_a_seconds_bucket[5m]) pontoon_c pontoon_c_total pontoon_slot'
  const unknown = unknownMetrics(names, [example('docs/a.md', text)], new Set(['pontoon_slot']))
  t.match(unknown, [/pontoon_c_total/])
  t.equal(unknown.length, 1)
})
