/**
 * A pair of servers with a control plane before them, and what an operator does there: commands, and
 * SQL as an administrator. For tests of what becomes of syncs and their slots.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Client } from 'pg'
import type { Test } from 'tap'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime } from '../../src/control/runtime.ts'
import { systemClock } from '../../src/shared/clock.ts'
import type { Side } from '../../src/shared/side.ts'
import { pontoon, type Captured } from '../cli/capture.ts'
import { programArgs } from './program.ts'
import { SwitchPair, type PairOptions } from './switch-pair.ts'
import { until } from './until.ts'

export class OperatedPair {
  readonly pair: SwitchPair

  private constructor(pair: SwitchPair) {
    this.pair = pair
  }

  static async start(t: Test, options: PairOptions): Promise<OperatedPair> {
    const pair = await SwitchPair.start(options)
    t.teardown(() => pair.stop())
    const { config, configFile, source, target } = pair
    for (const server of [source, target]) await server.query('GRANT pg_read_all_data TO reader')
    const log = createLog('error', { write: (line) => process.stderr.write(line) })
    const runtime = await startRuntime({
      config,
      configFiles: [configFile],
      log,
      clock: systemClock,
    })
    t.teardown(() => runtime.stop('test', 0))
    return new OperatedPair(pair)
  }

  /** A command that works on the databases itself. */
  run(name: string, ...args: string[]): Promise<Captured> {
    return pontoon([name, 'orders', '--config', this.pair.configFile, ...args])
  }

  /** A command that asks the control plane. */
  ask(name: string, ...args: string[]): Promise<Captured> {
    return pontoon([name, 'orders', '--admin', this.pair.adminUrl, ...args])
  }

  patiently(name: 'cutover' | 'rollback'): Promise<Captured> {
    return this.ask(name, '--deadline', '30s')
  }

  /** `pontoon copy`, which is a program of several processes; its words however it ends. */
  async copy(...args: string[]): Promise<{ stdout: string; stderr: string }> {
    const { configFile } = this.pair
    const line = [...programArgs('src/main.ts'), 'copy', 'orders', '--config', configFile, ...args]
    return await promisify(execFile)(process.execPath, line, { timeout: 60_000 }).catch(
      (error: { stdout: string; stderr: string }) => error,
    )
  }

  /** What `pontoon status` says once it says so. */
  async told(words: RegExp): Promise<string> {
    let { out, err } = await this.ask('status')
    const isTold = async (): Promise<boolean> => {
      ;({ out, err } = await this.ask('status'))
      return words.test(out)
    }
    await until(isTold, String(words), 20_000).catch((error: unknown) => {
      throw new Error(`${String(error)} in ${out}${err}`)
    })
    return out
  }

  /** A client of Pontoon. */
  async application(sql: string): Promise<unknown[]> {
    const client = new Client(this.pair.url())
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }

  /** By an administrator, behind a fence too. */
  onSide(side: Side, sql: string): Promise<object[]> {
    return this.pair[side].query(`SET default_transaction_read_only = off; COMMIT; ${sql}`, 'shop')
  }

  /** As somebody might who does not know that the slot stays. */
  async loseSubscription(side: Side, name: string): Promise<void> {
    const alter = `ALTER SUBSCRIPTION ${name}`
    await this.onSide(
      side,
      `${alter} DISABLE; ${alter} SET (slot_name = NONE); DROP SUBSCRIPTION ${name}`,
    )
  }

  async slotsOf(side: Side): Promise<unknown[]> {
    const rows = await this.pair[side].query(
      'SELECT slot_name FROM pg_replication_slots ORDER BY 1',
    )
    return rows.map(({ slot_name: name }) => name)
  }

  async subscriptionsOf(side: Side): Promise<unknown[]> {
    const rows = await this.pair[side].query('SELECT subname FROM pg_subscription ORDER BY 1')
    return rows.map(({ subname }) => subname)
  }
}
