/**
 * What comes with Pontoon from others: `licences` checks them, `sbom FILE` writes a CycloneDX list,
 * `audit` reports known weaknesses. The first fails when a licence is not permissive; the last only
 * reports, because an advisory is judged by a person. `npm run supply-chain -- COMMAND`.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { UsageError, runScript } from './command-line.ts'
import { isPermissive, productionDependencies } from './lib/licences.ts'

const root = join(import.meta.dirname, '..')
const usage = `Usage: npm run supply-chain -- licences | sbom FILE | audit`
const outputMax = 64 * 1024 * 1024
const print = (line: string): boolean => process.stdout.write(`${line}\n`)

const report = z.object({
  vulnerabilities: z.record(
    z.string(),
    z.object({ severity: z.string(), range: z.string(), fixAvailable: z.unknown() }),
  ),
})

function checkLicences(): void {
  const all = productionDependencies(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const counts = new Map<string, number>()
  for (const { licence } of all) counts.set(licence, (counts.get(licence) ?? 0) + 1)
  for (const [licence, count] of counts) print(`${String(count).padStart(5)}  ${licence}`)
  const bad = all.filter(({ licence }) => !isPermissive(licence))
  if (bad.length === 0) return
  const names = bad.map(({ name, version, licence }) => `${name}@${version} (${licence || 'none'})`)
  throw new Error(`not on the list of permissive licences: ${names.join(', ')}`)
}

/**
 * `npm sbom --omit=dev` leaves out what development dependencies need too, so it is asked in a
 * folder whose package.json and lock file know of no development.
 */
function writeSbom(file: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-sbom-'))
  try {
    for (const name of ['package.json', 'package-lock.json']) {
      const text = readFileSync(join(root, name), 'utf8')
      writeFileSync(join(folder, name), JSON.stringify(withoutDevelopment(JSON.parse(text))))
    }
    const options = ['--sbom-format=cyclonedx', '--package-lock-only']
    const { stdout, stderr, status } = npm(['sbom', ...options], folder)
    if (status !== 0) throw new Error(`npm sbom failed: ${stderr}`)
    writeFileSync(file, stdout)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  print(file)
}

const manifest = z.looseObject({
  packages: z.record(z.string(), z.looseObject({ dev: z.boolean().optional() })).optional(),
})

function withoutDevelopment(read: unknown): object {
  const { devDependencies: _, packages, ...rest } = manifest.parse(read)
  if (packages === undefined) return rest
  const kept = Object.entries(packages)
    .filter(([, one]) => one.dev !== true)
    .map(([path, { devDependencies: __, ...one }]) => [path, one])
  return { ...rest, packages: Object.fromEntries(kept) }
}

function audit(): void {
  const { stdout } = npm(['audit', '--omit=dev', '--json'])
  const parsed = report.safeParse(JSON.parse(stdout))
  if (!parsed.success) return void print('not audited: the registry in use answers no audits')
  const found = Object.entries(parsed.data.vulnerabilities)
  print(found.length === 0 ? 'no known weakness' : `${found.length} packages with known weaknesses`)
  for (const [name, { severity, range, fixAvailable }] of found) {
    print(`  ${severity}: ${name} ${range}${fixAvailable === false ? '' : ', a fix is available'}`)
  }
}

function npm(
  args: readonly string[],
  cwd = root,
): { stdout: string; stderr: string; status: number | null } {
  const done = spawnSync('npm', [...args], { cwd, encoding: 'utf8', maxBuffer: outputMax })
  if (done.error !== undefined) throw done.error
  return done
}

await runScript(usage, async ([command, file, ...rest]) => {
  if (rest.length > 0) throw new UsageError('too many arguments')
  if (command === 'licences' && file === undefined) checkLicences()
  else if (command === 'sbom' && file !== undefined) writeSbom(file)
  else if (command === 'audit' && file === undefined) audit()
  else throw new UsageError('name one of the three')
})
