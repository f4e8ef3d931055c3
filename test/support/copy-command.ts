/**
 * `pontoon copy` as an operator runs it: a process of its own with a configuration file and a
 * state folder, so that it can be killed and its keeper outlives it.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { MigrationContext } from '../../src/migration/pg/side-login.ts'
import { startChild, type Child } from './child-processes.ts'
import type { MigratedDatabase } from './migration-pair.ts'
import { programArgs } from './program.ts'
import { removeFolder } from './remove-folder.ts'

const held = z.object({ pid: z.number() })

export interface CopyEnd {
  readonly exit: number | NodeJS.Signals
  readonly out: string
  readonly err: string
}

export interface RunningCopy {
  readonly child: Child
  readonly ended: Promise<CopyEnd>
  /** What it has said so far. */
  readonly err: () => string
}

export class CopyCommand {
  readonly folder = mkdtempSync(join(tmpdir(), 'pontoon-copy-'))
  readonly #service: string
  readonly #config: string

  constructor({ service, config }: MigrationContext) {
    this.#service = service
    this.#config = join(this.folder, 'pontoon.yml')
    const { source, target, protocol, listen, databases, migration } = config
    const clientAuth = { mode: 'trust' }
    const orders = { protocol, listen, clientAuth, databases, migration, source, target }
    const whole = { state: { file: join(this.folder, 'state') }, services: { [service]: orders } }
    // JSON is YAML.
    writeFileSync(this.#config, JSON.stringify(whole))
  }

  get jobFolder(): string {
    return join(this.folder, 'state', 'jobs', this.#service, 'copy')
  }

  /** Of the process that holds the snapshot. */
  keeperPid(): number {
    return held.parse(JSON.parse(readFileSync(join(this.jobFolder, 'snapshot.json'), 'utf8'))).pid
  }

  async start(...args: readonly string[]): Promise<RunningCopy> {
    const command = ['copy', this.#service, '--config', this.#config, ...args]
    const child = await startChild(process.execPath, [...programArgs('src/main.ts'), ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TAP: '' },
    })
    const said = { out: '', err: '' }
    child.process.stdout?.setEncoding('utf8').on('data', (text: string) => (said.out += text))
    child.process.stderr?.setEncoding('utf8').on('data', (text: string) => (said.err += text))
    const closed = new Promise((resolve) => child.process.once('close', resolve))
    const ended = child.exited.then(async (exit) => {
      await closed
      return { exit, ...said }
    })
    return { child, ended, err: () => said.err }
  }

  async run(...args: readonly string[]): Promise<CopyEnd> {
    const running = await this.start(...args)
    return running.ended
  }

  remove(): Promise<void> {
    return removeFolder(this.folder)
  }
}

/** Whether some rows have come. Rejects when the copy has ended. */
export async function hasChunks(
  db: MigratedDatabase,
  { child, err }: RunningCopy,
): Promise<boolean> {
  if (!child.isRunning()) throw new Error(`the copy has ended: ${err()}`)
  const sql = "SELECT to_regclass('pontoon.copy_chunk') AS name"
  const [table] = await db.query('target', sql)
  if (typeof table?.['name'] !== 'string') return false
  const [row] = await db.query(
    'target',
    'SELECT count(*)::int FROM pontoon.copy_chunk WHERE rows > 0',
  )
  return Number(row?.['count']) >= 3
}
