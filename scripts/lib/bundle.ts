/**
 * The test files, and the programs that many of them start, as plain JavaScript: made once for a
 * whole run, because tsx costs each process about a second of CPU time. Every module goes on
 * believing that it lies where its source lies. Neighbours: bundle-packages.ts,
 * test/support/program.ts.
 */
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { bundledPrograms } from '../../test/support/program.ts'
import { bundlePackages } from './bundle-packages.ts'

/** Gives the folder, which goes with this process. `files` are relative to `root`. */
export async function bundle(root: string, files: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-bundles-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const bundledPackages = await bundlePackages(root, folder)
  await build({
    entryPoints: [...new Set([...files, ...bundledPrograms])].map((file) => join(root, file)),
    outdir: folder,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'error',
    define: {
      'import.meta.url': 'sourceUrl',
      'import.meta.dirname': 'sourceFolder',
      'import.meta.filename': 'sourceFile',
    },
    plugins: [bundledPackages, sourcePlaces],
  })
  return folder
}

/** Tells each module its place, on the first line that may be changed, so that line numbers stay. */
const sourcePlaces: Plugin = {
  name: 'source places',
  setup: (run) => {
    run.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      if (!text.includes('import.meta')) return undefined
      const places = {
        sourceUrl: pathToFileURL(path).href,
        sourceFolder: dirname(path),
        sourceFile: path,
      }
      const lines = Object.entries(places).map(
        ([name, value]) => `const ${name} = ${JSON.stringify(value)};`,
      )
      const contents = text.replace(/^(?:#!.*\n)?/, (shebang) => shebang + lines.join(' '))
      return { contents, loader: 'ts' }
    })
  },
}
