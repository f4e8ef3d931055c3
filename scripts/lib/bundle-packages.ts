/**
 * The packages that nearly every process of a test run loads, each from hundreds of files, as one
 * file each. They have no source map and lie under `node_modules`, so that the stack of an error is
 * shown as if they were loaded from there. Neighbour: bundle.ts.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'

/** What is imported, where it goes, and which of its names: all that of a CommonJS one are used. */
const bundledPackages = [
  // tap leaves the lines of this folder out of stacks.
  { name: 'tap', file: '@tapjs/tap', exports: ['*', '{ default }'] },
  { name: 'zod', file: 'zod', exports: ['*'] },
  { name: 'fastify', file: 'fastify', exports: ['{ fastify }'] },
] as const

/** Start workers from files of their own. */
const external = ['pino', 'thread-stream']
const requireSource =
  "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);"

/** Gives the plugin that has the importers use them. */
export async function bundlePackages(root: string, folder: string): Promise<Plugin> {
  const outdir = join(folder, 'packages', 'node_modules')
  await Promise.all(
    bundledPackages.map(({ name, file, exports }) =>
      build({
        stdin: {
          contents: exports.map((names) => `export ${names} from '${name}'`).join('\n'),
          resolveDir: root,
        },
        outfile: join(outdir, `${file}.mjs`),
        bundle: true,
        external,
        format: 'esm',
        platform: 'node',
        target: 'node20',
        logLevel: 'error',
        banner: { js: requireSource },
        plugins: [modulePlaces],
      }),
    ),
  )
  const paths = new Map<string, string>(
    bundledPackages.map(({ name, file }) => [name, join(outdir, `${file}.mjs`)]),
  )
  return {
    name: 'bundled packages',
    setup: (run) => {
      run.onResolve({ filter: /^[a-z]/ }, ({ path }) => {
        const bundled = paths.get(path)
        return bundled === undefined ? undefined : { external: true, path: bundled }
      })
    },
  }
}

/** Each of their modules goes on believing that it lies where it was installed. */
const modulePlaces: Plugin = {
  name: 'module places',
  setup: (run) => {
    run.onLoad({ filter: /\.[cm]?js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      const places = {
        __dirname: dirname(path),
        __filename: path,
        moduleUrl: pathToFileURL(path).href,
      }
      const constants = Object.entries(places)
        .filter(([name]) => isFree(text, name))
        .map(([name, value]) => `const ${name} = ${JSON.stringify(value)};`)
      if (constants.length === 0) return undefined
      const contents = text
        .replaceAll('import.meta.url', 'moduleUrl')
        .replace(/^(?:#!.*\n)?/, (shebang) => shebang + constants.join(' '))
      return { contents, loader: 'js' }
    })
  },
}

function isFree(text: string, name: string): boolean {
  if (name === 'moduleUrl') return text.includes('import.meta.url')
  return text.includes(name) && !text.includes(`const ${name}`)
}
