/** pontoon sync SERVICE: makes logical replication run, mends it, says how it is, takes it away. */
import { setTimeout as delay } from 'node:timers/promises'
import { writeBeat } from '../migration/pg/sync/beat.ts'
import { syncConditions } from '../migration/pg/sync/conditions.ts'
import { planDrop } from '../migration/pg/sync/drop.ts'
import { dropFailure } from '../migration/pg/sync/drop-out-of-reach.ts'
import { readSchemas } from '../migration/pg/sync/drift-of.ts'
import { planGiveUp } from '../migration/pg/sync/give-up.ts'
import { readHealth, type SyncHealth } from '../migration/pg/sync/health.ts'
import { openSyncJob, sendingSide, type SyncJob } from '../migration/pg/sync/job.ts'
import { planSync, type SyncPlan, type SyncStep } from '../migration/pg/sync/plan.ts'
import { readStanding } from '../migration/pg/sync/standing.ts'
import { readSurroundings } from '../migration/pg/sync/surroundings.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import { dryRunOption, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { configOption } from './config-files.ts'
import { parseDuration } from './duration.ts'
import type { Output } from './output.ts'
import { serviceJobOf } from './service-job.ts'
import { describeConditions, describeDrift, describeHealth, healthLine } from './sync-view.ts'

export const sync: Command = {
  name: 'sync',
  summary: 'Keep the other side equal by logical replication: make, mend, watch it.',
  details:
    'Takes over the subscription that pontoon copy left, or makes one whose rows the server copies\n' +
    'itself (into empty tables). Mends what it finds: tables that are not published, a subscription\n' +
    'that an error switched off, a password that was changed. Tells DDL that was done on one side\n' +
    'only. Run it as often as you like. Exit code 3 when something has to be done first, 1 when\n' +
    'sync does not run in the end.\n' +
    'After a cutover the target keeps WAL for the way back until that is given up: --drop\n' +
    '--no-rollback, where the source is gone for good or no rollback is wanted.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: {
    ...configOption,
    follow: { help: 'Go on watching, a line a second; ends with Ctrl-C.' },
    once: { help: 'Only look: change nothing, wait for nothing.' },
    wait: { value: 'DURATION', help: 'How long to wait until it runs (default 15s).' },
    'print-sql': { help: 'Print the SQL (without passwords) instead of running it.' },
    drop: { help: 'Take subscription, slot and publication away; asks for --yes.' },
    'no-rollback': {
      help: 'With --drop, after a cutover: give up the way back, also where the source is gone.',
    },
    yes: { help: 'Do what --drop says.' },
    ...dryRunOption,
  },
  examples: [
    'pontoon sync orders',
    'pontoon sync orders --follow',
    'pontoon sync orders --print-sql',
    'pontoon sync orders --drop --yes',
    'pontoon sync orders --drop --no-rollback',
  ],
  run,
}

const followEveryMs = 1_000
const settleEveryMs = 200
const looksPerBeat = 5
const waitDefault = '15s'

async function run(input: CommandInput): Promise<ExitCode> {
  const { args } = input
  const waitMs = parseDuration(args.value('wait') ?? waitDefault, '--wait')
  if (args.has('drop') && (args.has('follow') || args.has('once')))
    throw new PontoonError('USAGE', '--drop goes with neither --follow nor --once.')
  if (args.has('no-rollback')) return await giveUp(input)
  const context = serviceJobOf(input)
  const job = await openSyncJob(context).catch(async (thrown: unknown) => {
    throw args.has('drop') ? await dropFailure(context, thrown) : thrown
  })
  try {
    if (args.has('once')) return await report(job, input.output, await readHealth(job, job))
    const plan = args.has('drop') ? await planDrop(job) : await planSync(job)
    if (plan.refusals.length > 0) return refuse(plan, job.service, input.output)
    if (args.has('print-sql')) return printSql(plan, input.output)
    if (args.has('dry-run')) return dryRun(plan, input.output)
    if (args.has('drop')) return await drop(plan, input, dropWords)
    await carryOut(plan, input.output)
    // A worker may begin anew behind that look, for a setting of its own that has changed.
    const health = await settle(job, waitMs)
    if (args.has('follow')) return await follow(job, input)
    return await report(job, input.output, health)
  } finally {
    job.close()
  }
}

function refuse({ refusals }: SyncPlan, service: string, output: Output): ExitCode {
  output.result({ service, applied: false, refusals }, () =>
    refusals.map((text) => `${service}: ${text}.`).join('\n'),
  )
  return exitCodes.refused
}

function printSql({ steps }: SyncPlan, output: Output): ExitCode {
  const lines = steps.flatMap(({ what, sql }) => [`-- ${what}`, ...sql.map((text) => `${text};`)])
  output.result({ sql: steps.flatMap(({ sql }) => sql), applied: false }, () =>
    lines.length === 0 ? '-- nothing to do' : lines.join('\n'),
  )
  return exitCodes.ok
}

function dryRun({ steps }: SyncPlan, output: Output): ExitCode {
  const what = steps.map((step) => step.what)
  output.result({ steps: what, applied: false }, () =>
    what.length === 0 ? 'Nothing would be done.' : what.map((text) => `would ${text}`).join('\n'),
  )
  return exitCodes.ok
}

/** After a cutover, with the source or without it. */
async function giveUp(input: CommandInput): Promise<ExitCode> {
  const { args, output } = input
  if (!args.has('drop')) throw new PontoonError('USAGE', '--no-rollback: belongs to --drop.')
  const context = serviceJobOf(input)
  const givingUp = await planGiveUp(context)
  const { plan } = givingUp
  try {
    if (plan.refusals.length > 0) return refuse(plan, context.service, output)
    if (args.has('print-sql')) return printSql(plan, output)
    if (args.has('dry-run')) return dryRun(plan, output)
    return await drop(plan, input, giveUpWords)
  } finally {
    givingUp.close()
  }
}

const dropWords = {
  before: 'Changes would not travel any more; add --yes to do it.',
  after: 'Sync is taken away.',
}

const giveUpWords = {
  before: 'There would be no rollback any more; add --yes to do it.',
  after:
    'The way back is given up: no WAL is kept for it, and there is no rollback. While the source is\n' +
    'there, pontoon sync makes it anew, and pontoon verify --repair brings what it has missed.',
}

async function drop(
  plan: SyncPlan,
  { args, output }: CommandInput,
  words: typeof dropWords,
): Promise<ExitCode> {
  const what = plan.steps.map((step) => step.what)
  if (!args.has('yes') && what.length > 0) {
    output.result({ steps: what, applied: false }, () =>
      [...what.map((text) => `would ${text}`), '', words.before].join('\n'),
    )
    return exitCodes.refused
  }
  await carryOut(plan, output)
  output.result({ steps: what, applied: true }, () =>
    what.length === 0 ? 'There was nothing to take away.' : words.after,
  )
  return exitCodes.ok
}

async function carryOut({ steps }: SyncPlan, output: Output): Promise<void> {
  for (const [index, step] of steps.entries()) {
    output.remark(step.what)
    try {
      await step.run()
    } catch (thrown) {
      throw unfinished(thrown, steps.slice(0, index), steps.slice(index))
    }
  }
}

/** Whoever meets it is to know where things stand. */
function unfinished(
  thrown: unknown,
  done: readonly SyncStep[],
  left: readonly SyncStep[],
): PontoonError {
  const { code, message } = toPontoonError(thrown)
  const text =
    `${message}. Done before that: ${namesOf(done) || 'nothing'}. Not done: ${namesOf(left)}. ` +
    'Run the same command again once that is mended: it does what is left'
  return new PontoonError(code, text, { cause: thrown })
}

function namesOf(steps: readonly SyncStep[]): string {
  return steps.map(({ what }) => what).join('; ')
}

/** Until it runs and a beat has come through, or is off, or the time is over. The last look. */
async function settle(job: SyncJob, waitMs: number): Promise<SyncHealth> {
  const deadline = performance.now() + waitMs
  for (let look = 0; ; look += 1) {
    // Again and again: a worker that begins late proves itself by a beat that is later still.
    if (look % looksPerBeat === 0) await writeBeat(job.sender, job.direction)
    const health = await readHealth(job, job)
    const { state, lagMs } = health
    const isRunning = state === 'copying' || (state === 'streaming' && lagMs === 0)
    if (isRunning || state === 'lost' || state === 'disabled') return health
    if (performance.now() >= deadline) return health
    await delay(settleEveryMs)
  }
}

async function report(job: SyncJob, output: Output, health: SyncHealth): Promise<ExitCode> {
  const schemas = await readSchemas(job, job, job.exclude)
  const { drift } = schemas
  const primary = sendingSide(job.direction)
  const [source, target] =
    primary === 'source' ? [job.sender, job.receiver] : [job.receiver, job.sender]
  const conditions = syncConditions({
    health,
    schemas,
    surroundings: [await readSurroundings(job.sender), await readSurroundings(job.receiver)],
    sides: {
      primary,
      epoch: null,
      standings: {
        source: await readStanding(source, job.context, 'source'),
        target: await readStanding(target, job.context, 'target'),
      },
    },
  })
  output.result({ service: job.service, health, drift, conditions }, () =>
    [describeHealth(health), describeDrift(drift), describeConditions(conditions)]
      .filter(Boolean)
      .join('\n\n'),
  )
  return isWell(health) ? exitCodes.ok : exitCodes.failed
}

async function follow(job: SyncJob, { output, streams }: CommandInput): Promise<ExitCode> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  let last: SyncHealth | undefined
  try {
    while (!stop.signal.aborted) {
      await writeBeat(job.sender, job.direction)
      last = await readHealth(job, job)
      streams.out(output.json ? `${JSON.stringify(last)}\n` : `${healthLine(last)}\n`)
      await delay(followEveryMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  } finally {
    process.removeListener('SIGINT', onSignal)
    process.removeListener('SIGTERM', onSignal)
  }
  return last !== undefined && isWell(last) ? exitCodes.ok : exitCodes.failed
}

function isWell({ state }: SyncHealth): boolean {
  return state === 'streaming' || state === 'copying'
}
