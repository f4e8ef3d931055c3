/** One copy by one peer, timed from an empty database until rows, indexes and statistics are there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processTree, startChild } from '../../../test/support/child-processes.ts'
import type { PostgresServer } from '../../../test/support/postgres.ts'
import { execute } from '../../processes.ts'
import { cpuTimeUs, endedChildrenTimeUs } from '../cpu-time.ts'
import { resetTarget, sourceDatabase, targetDatabase, type CopyBench } from './databases.ts'

export type CopyPeer = 'pontoon' | 'pgcopydb'

export interface CopyResult {
  readonly peer: CopyPeer
  readonly seconds: number
  /** The largest resident memory of all its processes together, shared pages counted each time. */
  readonly peakMegabytes: number
  /** CPU seconds of its own processes and of the two servers. */
  readonly cpuSeconds: CpuSeconds
}

export interface CpuSeconds {
  readonly peer: number
  readonly source: number
  readonly target: number
}

const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url))
const subscription = 'pontoon_bench_forward'

export async function runPeer(
  bench: CopyBench,
  peer: CopyPeer,
  jobs: number,
  signal: AbortSignal,
): Promise<CopyResult> {
  await resetTarget(bench)
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-bench-copy-'))
  try {
    const cpuBefore = cpuSeconds(bench)
    const startMs = performance.now()
    const peakMegabytes =
      peer === 'pontoon'
        ? await runPontoon(bench, jobs, folder, signal)
        : await runPgcopydb(bench, jobs, folder, signal)
    const seconds = (performance.now() - startMs) / 1_000
    const cpuAfter = cpuSeconds(bench)
    await checkCopy(bench)
    if (peer === 'pontoon') await forgetPontoon(bench)
    return {
      peer,
      seconds,
      peakMegabytes,
      cpuSeconds: {
        peer: cpuAfter.peer - cpuBefore.peer,
        source: cpuAfter.source - cpuBefore.source,
        target: cpuAfter.target - cpuBefore.target,
      },
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function runPgcopydb(
  { source, target }: CopyBench,
  jobs: number,
  folder: string,
  signal: AbortSignal,
): Promise<number> {
  const many = ['--table-jobs', String(jobs), '--index-jobs', String(jobs)]
  const sides = ['--source', source.url(sourceDatabase), '--target', target.url(targetDatabase)]
  return watched('pgcopydb', ['clone', ...sides, ...many, '--dir', join(folder, 'work')], signal)
}

/** Definitions of the tables first: pgcopydb does the same within its clone. */
async function runPontoon(
  { source, target }: CopyBench,
  jobs: number,
  folder: string,
  signal: AbortSignal,
): Promise<number> {
  const dump = join(folder, 'pre-data.sql')
  const from = ['--section=pre-data', '--file', dump, source.url(sourceDatabase)]
  await execute('pg_dump', from, {}, signal)
  await execute('psql', ['-qX', '-f', dump, target.url(targetDatabase)], {}, signal)
  const config = join(folder, 'pontoon.yml')
  const bench = {
    protocol: 'postgres',
    listen: '127.0.0.1:1',
    clientAuth: { mode: 'trust' },
    databases: [sourceDatabase],
    source: sideOf(source),
    target: sideOf(target),
  }
  writeFileSync(
    config,
    JSON.stringify({ state: { file: join(folder, 'state') }, services: { bench } }),
  )
  const args = [main, 'copy', 'bench', '--config', config, '--jobs', String(jobs), '--json']
  return watched(process.execPath, args, signal)
}

function sideOf({ host, port, superuser, password }: PostgresServer): object {
  return { host, port, controlUser: { user: superuser, password }, tls: { mode: 'disable' } }
}

async function forgetPontoon({ source, target }: CopyBench): Promise<void> {
  await target.query(`ALTER SUBSCRIPTION ${subscription} DISABLE`, targetDatabase)
  await target.query(`ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE)`, targetDatabase)
  await target.query(`DROP SUBSCRIPTION ${subscription}`, targetDatabase)
  await source.query(
    `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active`,
  )
  await source.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;
     DROP PUBLICATION ${subscription};
     DROP SCHEMA pontoon CASCADE`,
    sourceDatabase,
  )
}

/** A peer that forgot something would be fast. */
async function checkCopy({ source, target }: CopyBench): Promise<void> {
  const sql = `SELECT (SELECT count(*) FROM pgbench_accounts) AS accounts,
    (SELECT count(*) FROM wide) AS wide,
    (SELECT count(*) FROM pg_stats WHERE schemaname = 'public') > 0 AS analyzed,
    (SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid::regclass::text) FROM pg_index
      WHERE indrelid IN ('pgbench_accounts'::regclass, 'wide'::regclass) AND indisvalid) AS indexes`
  const want = JSON.stringify(await source.query(sql, sourceDatabase))
  const got = JSON.stringify(await target.query(sql, targetDatabase))
  if (want !== got) throw new Error(`the copy is not whole: ${got} instead of ${want}`)
}

/**
 * So far. The peer's processes have ended and are ours; a server's backends have ended or still run.
 * Pontoon's keeper of the snapshot ends after it and is left out: it does nothing but wait.
 */
function cpuSeconds({ source, target }: CopyBench): CpuSeconds {
  return {
    peer: endedChildrenTimeUs() / 1e6,
    source: serverCpuSeconds(source),
    target: serverCpuSeconds(target),
  }
}

function serverCpuSeconds({ pid }: PostgresServer): number {
  if (pid === undefined) throw new Error('the server is gone')
  const alive = processTree(pid).reduce((sum, one) => sum + aliveCpuTimeUs(one), 0)
  return (alive + endedChildrenTimeUs(pid)) / 1e6
}

/** One that ended since it was listed is among its parent's children by now. */
function aliveCpuTimeUs(pid: number): number {
  try {
    return cpuTimeUs(pid)
  } catch {
    return 0
  }
}

const lookEveryMs = 100

/** Runs it to its end; gives the peak of its resident memory in megabytes. */
async function watched(
  command: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const child = await startChild(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  child.process.stdout?.on('data', (bytes: Buffer) => said.push(bytes.toString()))
  child.process.stderr?.on('data', (bytes: Buffer) => said.push(bytes.toString()))
  let peak = 0
  const timer = setInterval(() => {
    const total = processTree(child.pid).reduce((sum, pid) => sum + residentKilobytes(pid), 0)
    peak = Math.max(peak, total)
  }, lookEveryMs)
  const onAbort = (): void => void child.process.kill('SIGTERM')
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const code = await child.exited
    if (code !== 0)
      throw new Error(`${command} ended with ${code}:\n${said.join('').slice(-4_000)}`)
    return (peak * 1_024) / 1e6
  } finally {
    clearInterval(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

function residentKilobytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  } catch {
    return 0
  }
}
