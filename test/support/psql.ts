/**
 * psql of PostgreSQL 15 with the libpq of another major, which is compatible: so newer connection
 * options (direct TLS, protocol 3.2) are tried with the client library that has them.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { dirname, join } from 'node:path'
import { postgresBinFolder } from './postgres-binaries.ts'
import type { PostgresMajor } from './postgres-binaries.ts'

export interface Psql {
  readonly child: ChildProcess
  /** Settles when it has ended: its exit code, and what it wrote to both streams. */
  readonly done: Promise<{ readonly exit: number | null; readonly output: string }>
}

/** Runs `commands` one after the other; `target` is a connection string of keywords. */
export function startPsql(
  libpq: PostgresMajor,
  target: string,
  commands: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Psql {
  const library = join(dirname(postgresBinFolder(libpq)), 'lib')
  const args = ['-XAt', ...commands.flatMap((command) => ['-c', command]), target]
  const child = spawn(join(postgresBinFolder(15), 'psql'), args, {
    env: { ...process.env, LD_LIBRARY_PATH: library, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => (output += String(text)))
  const done = new Promise<{ exit: number | null; output: string }>((resolve) =>
    child.once('close', (exit) => resolve({ exit, output })),
  )
  return { child, done }
}
