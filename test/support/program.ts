/**
 * How Node runs a program of this repository: what `npm test` has made of it, or else its source.
 * Neighbour: scripts/lib/bundle.ts.
 */
import { join } from 'node:path'

/** Names the folder of the bundles to test files and their children. */
export const bundlesVariable = 'PONTOON_TEST_BUNDLES'

/** All that tests start. */
export const bundledPrograms = [
  'src/main.ts',
  'scripts/demo.ts',
  'scripts/demo/sample-app/main.ts',
  'scripts/supply-chain.ts',
  'test/store/fixtures/lock-holder.ts',
  'test/store/fixtures/state-writer.ts',
  'test/support/postgres-copy.ts',
  'test/support/postgres-orphan.ts',
  'test/support/redis-orphan.ts',
  'test/support/switch-sidecar-process.ts',
] as const

const root = join(import.meta.dirname, '..', '..')

/** The arguments of Node, ahead of the program's own. */
export function programArgs(program: (typeof bundledPrograms)[number]): readonly string[] {
  const folder = process.env[bundlesVariable]
  return folder === undefined ? ['--import=tsx', join(root, program)] : bundledArgs(folder, program)
}

export function bundledArgs(folder: string, file: string): readonly string[] {
  return ['--enable-source-maps', join(folder, file.replace(/\.ts$/, '.mjs'))]
}
