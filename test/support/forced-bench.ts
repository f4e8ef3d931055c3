/**
 * One cell of a forced switch: a pair whose primary is lost in one of three ways, the sidecar killed
 * before a step of the forced switch, and everything that has to hold afterwards. A cell leaves its
 * sides parted, so each has a pair of its own.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import type { Operation } from '../../src/control/switches.ts'
import { parseState, type State } from '../../src/store/state-format.ts'
import { controlQuery } from './control-query.ts'
import { startWriters, type RecordReport, type Writers } from './record-client.ts'
import { runSwitch } from './switch-operation.ts'
import { SwitchPair, type PairOptions } from './switch-pair.ts'
import { SwitchSidecar } from './switch-sidecar.ts'
import { until } from './until.ts'

export interface ForcedCell {
  /** What the switch that is under way waits for; `none`: there is no switch. */
  readonly pending: 'none' | 'aborting' | 'committed'
  /** The sidecar is killed before this step of the forced switch; null: it is not. */
  readonly step: string | null
  /** Instead of that, the lost side is back before this step. */
  readonly backAt?: string
  /** Its server stands still instead of being dead: connections stay open, and it goes on later. */
  readonly hangs?: boolean
}

export interface ForcedResult {
  /** Empty: everything holds. */
  readonly problems: readonly string[]
  readonly loss: string
}

const beatSql = (direction: string): string =>
  `SELECT (extract(epoch FROM max(at)) * 1000)::float AS ms FROM pontoon.heartbeat_${direction}`

export class ForcedBench {
  readonly pair: SwitchPair
  readonly sidecar: SwitchSidecar
  readonly #cell: ForcedCell
  readonly #acknowledgedAt: [atMs: number, count: number][] = []

  private constructor(pair: SwitchPair, cell: ForcedCell) {
    this.pair = pair
    this.sidecar = new SwitchSidecar(pair.configFile, pair.folder)
    this.#cell = cell
  }

  static async run(options: PairOptions, cell: ForcedCell): Promise<ForcedResult> {
    const bench = new ForcedBench(await SwitchPair.start(options), cell)
    try {
      await bench.sidecar.start()
      return await bench.#run()
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      return { problems: [`${text}\n${bench.sidecar.log()}`], loss: '' }
    } finally {
      await bench.sidecar.stop()
      await bench.pair.stop()
    }
  }

  get #state(): State {
    const file = join(this.pair.folder, 'state', 'state.json')
    return parseState(readFileSync(file, 'utf8'), file)
  }

  /** A committed switch has made the target the primary: it is the one that dies. */
  get #lost(): 'source' | 'target' {
    return this.#cell.pending === 'committed' ? 'target' : 'source'
  }

  get #kept(): 'source' | 'target' {
    return this.#lost === 'source' ? 'target' : 'source'
  }

  async #run(): Promise<ForcedResult> {
    const { pair } = this
    const writers = await startWriters({
      url: pair.url(),
      writers: 4,
      createTable: false,
      intervalMs: 5,
    })
    try {
      return await this.#forceWith(writers)
    } catch (error) {
      // Nobody would end them, and so the process.
      await writers.stop({ checkUrl: pair[this.#kept].url('shop') }).catch(() => undefined)
      throw error
    }
  }

  async #forceWith(writers: Writers): Promise<ForcedResult> {
    const { pair, sidecar } = this
    const noting = setInterval(
      () => this.#acknowledgedAt.push([Date.now(), writers.acknowledged]),
      5,
    )
    await this.#loseSide(writers).finally(() => clearInterval(noting))
    const kind = this.#lost === 'source' ? 'cutover' : 'rollback'
    const ask = async (): Promise<Operation> => {
      for (;;)
        try {
          return await runSwitch(pair.adminUrl, kind, { primaryLost: true }, 120_000)
        } catch (error) {
          // The state file, which was waited for, is ahead of what the sidecar knows to be durable.
          if (!String(error).includes('not decided yet')) throw error
        }
    }
    if (this.#cell.backAt !== undefined)
      return await this.#comesBackAt(this.#cell.backAt, ask, writers)
    const rehearsal = { primaryLost: true, dryRun: true }
    const loss = lossOf(await this.#done(() => runSwitch(pair.adminUrl, kind, rehearsal)))
    const { step } = this.#cell
    if (step === null) await this.#done(ask)
    else {
      sidecar.go([step])
      ask().catch(() => undefined)
      await sidecar.untilStanding(step)
      await sidecar.kill9()
      await sidecar.start()
      const isCommitted = (): boolean => this.#state.routes.get('orders')?.primary === this.#kept
      const wasCommitted = ['detach', 'sequences', 'unfence', 'open', 'cleanup'].includes(step)
      // In the place of a committed switch the route says nothing before it is over.
      if (!wasCommitted) await this.#done(ask)
      else if (!isCommitted()) throw new Error(`not committed before ${step}`)
    }
    await until(() => !this.#state.switches.has('orders'), 'the switch is over', 60_000)
    await writers.untilAcknowledged(30, 60_000)
    const problems = await this.#problems(writers, loss)
    return { problems, loss }
  }

  async #loseSide(writers: Writers): Promise<void> {
    const { pair, sidecar } = this
    const { pending } = this.#cell
    await writers.untilAcknowledged(50)
    await this.#untilBeat()
    if (pending === 'none') {
      await this.#lose('source')
      return
    }
    const at = pending === 'aborting' ? 'applied' : 'unfence'
    sidecar.go([at])
    runSwitch(pair.adminUrl, 'cutover', { deadlineMs: 20_000 }).catch(() => undefined)
    await sidecar.untilStanding(at)
    await this.#lose(this.#lost)
    sidecar.go()
    await until(
      () => this.#state.switches.get('orders')?.state === pending,
      `the switch is ${pending}`,
      60_000,
    )
  }

  async #lose(side: 'source' | 'target'): Promise<void> {
    if (this.#cell.hangs === true) this.pair[side].pause()
    else await this.pair[side].kill9()
  }

  /** What was on its way when it stood still is done now, and was acknowledged to nobody. */
  async #bringBack(): Promise<void> {
    const lost = this.pair[this.#lost]
    if (this.#cell.hangs !== true) {
      await lost.restart()
      return
    }
    lost.resume()
    const busy = `SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'`
    await until(async () => (await controlQuery(lost, busy)).length === 0, 'nothing is under way')
  }

  /** One that was sent after the first write that is looked at. */
  async #untilBeat(): Promise<void> {
    const beganMs = Date.now() + 50
    await until(
      async () =>
        Number((await this.pair.target.query(beatSql('forward'), 'shop'))[0]?.['ms']) > beganMs,
      'a heartbeat has arrived',
      30_000,
    )
  }

  /** What is refused for a moment, such as before the decision is told, is asked for again. */
  async #done(ask: () => Promise<Operation>): Promise<Operation> {
    let reason = ''
    let done: Operation | undefined
    await until(
      async () => {
        try {
          const operation = await ask()
          reason = operation.report?.reason ?? operation.state
          if (operation.state === 'done') done = operation
          return done !== undefined
        } catch (error) {
          reason = String(error)
          return false
        }
      },
      'the forced switch is done',
      60_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${reason}`)
    })
    if (done === undefined) throw new Error('it was waited for')
    return done
  }

  /** It is given up, and the switch in whose place it was to be goes on to its own end. */
  async #comesBackAt(
    step: string,
    ask: () => Promise<Operation>,
    writers: Writers,
  ): Promise<ForcedResult> {
    const { pair, sidecar } = this
    sidecar.go([step])
    const asked = ask()
    await sidecar.untilStanding(step)
    await this.#bringBack()
    sidecar.go()
    const { state, report } = await asked
    const problems = state === 'aborted' ? [] : [`${state}: ${report?.reason ?? ''}`]
    await until(() => !this.#state.switches.has('orders'), 'the first switch has ended', 60_000)
    await writers.untilAcknowledged(30, 60_000)
    const primary = this.#state.routes.get('orders')?.primary ?? 'source'
    if (primary !== this.#lost) problems.push(`the ${primary} is primary`)
    const records = await writers.stop({ checkUrl: pair[primary].url('shop') })
    problems.push(...wrongIn(records))
    if (records.lost.length > 0) problems.push(`lost: ${records.lost.length}`)
    return { problems, loss: '' }
  }

  async #problems(writers: Writers, loss: string): Promise<readonly string[]> {
    const kept = this.pair[this.#kept]
    const problems: string[] = []
    const primary = this.#state.routes.get('orders')?.primary
    if (primary !== this.#kept) problems.push(`the ${primary} is primary`)
    for (const what of ['pg_subscription', 'pg_replication_slots'])
      if ((await kept.query(`SELECT 1 FROM ${what}`)).length > 0)
        problems.push(`${what} is not empty`)
    problems.push(...(await this.#returns(writers)))
    const report = await writers.stop({ checkUrl: kept.url('shop') })
    problems.push(...wrongIn(report))
    const lastBeatMs = Date.parse(/after (\S+) may/.exec(loss)?.[1] ?? '')
    const safe = this.#acknowledgedAt.findLast(([atMs]) => atMs < lastBeatMs)?.[1] ?? 0
    // A killed sidecar cannot know whether the new side had opened; here it had not.
    const isBack = this.#cell.pending === 'committed'
    if (isBack ? report.lost.length > 0 : report.acknowledged - report.lost.length < safe)
      problems.push(`lost: ${report.lost.length} of ${report.acknowledged}, ${safe} are safe`)
    if (!isBack && safe === 0) problems.push(`no write was safe: ${loss}`)
    return problems
  }

  /** The lost side comes back while clients write. */
  async #returns(writers: Writers): Promise<readonly string[]> {
    const lost = this.pair[this.#lost]
    const count = async (): Promise<unknown> =>
      (await controlQuery(lost, 'SELECT count(*)::int AS n FROM records'))[0]?.['n']
    await this.#bringBack()
    const rows = await count()
    await until(
      async () =>
        (await controlQuery(lost, 'SELECT parted FROM pontoon.mark'))[0]?.['parted'] === this.#lost,
      'the lost side is told',
      30_000,
    )
    await writers.untilAcknowledged(30, 60_000)
    const problems: string[] = []
    if ((await count()) !== rows) problems.push(`rows have come to the lost ${this.#lost}`)
    const left = await controlQuery(lost, 'SELECT subname FROM pg_subscription')
    const slots = await controlQuery(lost, 'SELECT slot_name FROM pg_replication_slots')
    if (left.length + slots.length > 0) problems.push('the lost side still sends or receives')
    const application = new Client(lost.url('shop', 'app', 'app'))
    application.on('error', () => undefined)
    try {
      await application.connect()
      await application.end()
      problems.push('the lost side is not fenced')
    } catch {
      // As it should be.
    }
    return problems
  }
}

function wrongIn({ duplicated, unexpected, errors }: RecordReport): readonly string[] {
  const clash = errors.find((error) => 'code' in error && error.code === '23505')
  return [
    ...(duplicated.length > 0 ? [`duplicated: ${duplicated.length}`] : []),
    ...(unexpected.length > 0 ? [`unexpected: ${unexpected.length}`] : []),
    ...(clash === undefined ? [] : [`a sequence gave a value again: ${clash.message}`]),
  ]
}

function lossOf({ report }: Operation): string {
  return report?.guards.find(({ name }) => name === 'loss')?.text ?? ''
}
