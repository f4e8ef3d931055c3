/**
 * Who may import whom: layers import downwards only, some packages stay in one place, and every
 * source file is reached from the entry point. Neighbour: ../style.test.ts.
 */
import { posix } from 'node:path'
import type { Finding, SourceFile } from './source.ts'

export interface Import {
  /** As written. */
  readonly specifier: string
  /** The path of the file it means, for relative ones. */
  readonly target: string | undefined
}

/** Height of each folder of src; design: shared < wire, config < net, store, routing < … */
const layers: Readonly<Record<string, number>> = {
  shared: 0,
  wire: 1,
  config: 1,
  net: 2,
  store: 2,
  routing: 2,
  proxy: 3,
  migration: 3,
  control: 4,
  cli: 5,
}

/** Of folders at the same height: what the store keeps is routes. */
const sameHeightAllowed: ReadonlySet<string> = new Set(['store -> routing'])

/** Packages that only one folder may know. */
const packageHomes: readonly { readonly pattern: RegExp; readonly home: string }[] = [
  { pattern: /^(fastify|@fastify\/.*|pino|pino-pretty|prom-client)$/, home: 'control' },
  { pattern: /^libpg-query$/, home: 'routing' },
  { pattern: /^@aws-sdk\//, home: 'net' },
  { pattern: /^(saslprep|pg-protocol|redis-parser)$/, home: 'net' },
]

export const importsOf = (file: SourceFile): Import[] => {
  const found: Import[] = []
  const patterns = [
    /\b(?:import|export)\b[^'"`;]*?\bfrom\s*'([^']+)'/g,
    /\bimport\s*'([^']+)'/g,
    /\bimport\(\s*'([^']+)'\s*\)/g,
    /\bnew URL\(\s*'([^']+\.ts)'\s*,\s*import\.meta\.url/g,
  ]
  for (const pattern of patterns) {
    for (const [, specifier] of file.text.matchAll(pattern)) {
      if (specifier === undefined) continue
      const relative = specifier.startsWith('.') || pattern.source.includes('new URL')
      const target = relative ? posix.join(posix.dirname(file.path), specifier) : undefined
      found.push({ specifier, target })
    }
  }
  return found
}

/** For files below src. */
export function upwardImports(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) =>
    importsOf(file).flatMap(({ specifier, target }) => {
      const reason =
        target === undefined ? misplaced(file.path, specifier) : upward(file.path, target)
      return reason === undefined ? [] : [`${file.path} imports ${specifier}: ${reason}`]
    }),
  )
}

function upward(from: string, to: string): string | undefined {
  if (!to.startsWith('src/')) return 'src imports nothing outside src'
  const [source, target] = [folderOf(from), folderOf(to)]
  if (source === undefined || source === target) return undefined
  const [high, low] = [layers[source], target === undefined ? undefined : layers[target]]
  if (high === undefined) return `${source} is not a layer; add it to the list or move the file`
  if (low === undefined) return 'only the entry point stands above the layers'
  if (low < high || sameHeightAllowed.has(`${source} -> ${target}`)) return undefined
  return `${source} may not import ${target}; move what both need down, or pass it in`
}

function misplaced(path: string, specifier: string): string | undefined {
  const rule = packageHomes.find(({ pattern }) => pattern.test(specifier))
  if (rule === undefined || folderOf(path) === rule.home) return undefined
  return `only ${rule.home} knows this package; let it hand in what is needed`
}

/** Undefined for files directly in src, which stand above all layers. */
function folderOf(path: string): string | undefined {
  const parts = path.split('/')
  return parts.length > 2 ? parts[1] : undefined
}

/** Files of src that no chain of imports from an entry point reaches; type declarations aside. */
export function deadFiles(files: readonly SourceFile[], entries: readonly string[]): Finding[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const reached = new Set<string>()
  const next = [...entries]
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    const file = byPath.get(path)
    if (file === undefined || reached.has(path)) continue
    reached.add(path)
    for (const { target } of importsOf(file)) if (target !== undefined) next.push(target)
  }
  const dead = files.filter(
    ({ path }) => path.startsWith('src/') && !path.endsWith('.d.ts') && !reached.has(path),
  )
  return dead.map(
    (file) => `${file.path} is not reached from ${entries.join(', ')}: delete it or use it`,
  )
}
