/**
 * How Node runs a program of this repository: what `npm test` has made of it, or else its source.
 * Neighbour: scripts/lib/bundle.ts.
 */
import { join } from 'node:path'

/** Names the folder of the bundles to test files and their children. */
export const bundlesVariable = 'PONTOON_TEST_BUNDLES'

/** Those that tests start often enough. */
export const bundledPrograms = ['src/main.ts', 'test/support/switch-sidecar-process.ts'] as const

const root = join(import.meta.dirname, '..', '..')

/** The arguments of Node, ahead of the program's own. */
export function programArgs(program: (typeof bundledPrograms)[number]): readonly string[] {
  const folder = process.env[bundlesVariable]
  return folder === undefined ? ['--import=tsx', join(root, program)] : bundledArgs(folder, program)
}

export function bundledArgs(folder: string, file: string): readonly string[] {
  return ['--enable-source-maps', join(folder, file.replace(/\.ts$/, '.mjs'))]
}
