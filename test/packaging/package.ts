/**
 * The npm package as a user gets it: packed, and installed into an empty folder. Neighbours:
 * artefacts.test.ts, rehearsal.ts (whose build is packed where there is one).
 */
import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { projectRoot } from './rehearsal.ts'

const run = promisify(execFile)
const packed = z
  .array(
    z.object({
      filename: z.string(),
      size: z.number(),
      files: z.array(z.object({ path: z.string() })),
    }),
  )
  .length(1)

export interface InstalledPackage {
  /** What `npm pack` put in. */
  readonly files: readonly string[]
  readonly bytes: number
  /** Where it was installed: node_modules/pontoon, node_modules/.bin/pontoon. */
  readonly folder: string
  remove(): void
}

/** `dist`: a build to pack; without it one is made. */
export async function installPackage(dist: string | undefined): Promise<InstalledPackage> {
  const place = mkdtempSync(join(tmpdir(), 'pontoon-package-'))
  const source = join(place, 'source')
  mkdirSync(source)
  for (const name of ['package.json', 'README.md', 'LICENSE', 'config', 'docs']) {
    cpSync(join(projectRoot, name), join(source, name), { recursive: true })
  }
  if (dist === undefined) await build(source)
  else cpSync(dist, join(source, 'dist'), { recursive: true })
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts'], { cwd: source })
  const [pack] = packed.parse(JSON.parse(stdout))
  if (pack === undefined) throw new Error('npm pack made nothing')
  const folder = join(place, 'empty')
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const options = ['--prefer-offline', '--no-audit', '--no-fund', '--no-save']
  await run('npm', ['install', ...options, join(source, pack.filename)], { cwd: folder })
  return {
    files: pack.files.map((one) => one.path),
    bytes: pack.size,
    folder,
    remove: () => rmSync(place, { recursive: true, force: true }),
  }
}

async function build(folder: string): Promise<void> {
  for (const name of ['src', 'tsconfig.json', 'tsconfig.build.json', 'scripts/copy-static.mjs']) {
    cpSync(join(projectRoot, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(projectRoot, 'node_modules'), join(folder, 'node_modules'))
  await run('npm', ['run', 'build'], { cwd: folder })
  if (!existsSync(join(folder, 'dist/main.js'))) throw new Error('the build made no dist/main.js')
}
