/**
 * A program of the tests as one file of JavaScript: it starts in a fifth of the time that tsx needs,
 * which counts where a test starts dozens of them.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Gives the path of the result, below `folder`. */
export function bundle(program: string, folder: string): string {
  // What the sources look for beside themselves, two levels up as seen from src/*/*.
  const links = {
    'package.json': 'package.json',
    node_modules: 'node_modules',
    config: 'config',
    console: 'src/control/console',
  }
  for (const [name, to] of Object.entries(links)) symlinkSync(join(root, to), join(folder, name))
  mkdirSync(join(folder, 'program/bundled'), { recursive: true })
  const outfile = join(folder, 'program/bundled/main.mjs')
  const fromTsx = createRequire(createRequire(import.meta.url).resolve('tsx'))
  const settings = ['--bundle', '--packages=external', '--format=esm', '--platform=node']
  execFileSync(fromTsx.resolve('esbuild/bin/esbuild'), [
    program,
    ...settings,
    '--log-level=warning',
    `--outfile=${outfile}`,
  ])
  return outfile
}
