/** pontoon copy SERVICE: the rows of a PostgreSQL service, from its source to its target. */
import { startCopyProgress } from './copy-progress.ts'
import { abandonCopy } from '../migration/pg/copy/abandon.ts'
import { copyFolder, makeCopyFolder, readJob, type CopyJob } from '../migration/pg/copy/journal.ts'
import { keepSnapshot } from '../migration/pg/copy/keeper.ts'
import { copyLimits } from '../migration/pg/copy/limits.ts'
import { forgetOrders, giveOrder, orders, watchOrders } from '../migration/pg/copy/orders.ts'
import type { Order } from '../migration/pg/copy/orders.ts'
import { watchLag, type LagWatchOptions } from '../migration/pg/copy/lag-watch.ts'
import { runCopy, type CopyReport } from '../migration/pg/copy/run.ts'
import { Throttle } from '../migration/pg/copy/throttle.ts'
import { connectAs } from '../migration/pg/side-login.ts'
import { findStreams } from '../migration/pg/stream.ts'
import { systemClock } from '../shared/clock.ts'
import { PontoonError } from '../shared/errors.ts'
import { FolderLock } from '../store/folder-lock.ts'
import { configOption } from './config-files.ts'
import { dryRunOption, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode, ParsedArgs } from './command.ts'
import { rehearseCopy } from './copy-plan.ts'
import { counted } from './counted.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { formatAmount, parseBytes } from './progress-amount.ts'
import { serviceJobOf, type ServiceJob } from './service-job.ts'

export const copy: Command = {
  name: 'copy',
  summary: 'Copy all rows to the target, then let replication follow.',
  details:
    'Tables in parallel, large ones in chunks, in one snapshot that belongs to a replication slot;\n' +
    'indexes and keys after each table, foreign keys at the end; then the subscription goes on\n' +
    'from the slot. Run again after a crash or Ctrl-C, it goes on where it was. The snapshot is\n' +
    'held meanwhile by a process of its own, for an hour at most without a copy (--keep-for).',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: {
    ...configOption,
    jobs: { value: 'N', help: 'Tables or chunks copied at once, 1 to 64 (default 4).' },
    rate: { value: 'RATE', help: 'Read at most this much from the source, such as 50MB/s.' },
    'max-lag': {
      value: 'DURATION',
      help: 'Slow down while a standby of the source is further behind, such as 5s.',
    },
    'chunk-size': {
      value: 'SIZE',
      help: 'Cut tables into such chunks (default: only above 4 GB, into 1 GB at most).',
    },
    'keep-for': {
      value: 'DURATION',
      help: 'Hold the snapshot this long with no copy (default 1h).',
    },
    pause: { help: 'Make the copy that runs stop reading.' },
    resume: { help: 'Make it go on.' },
    abort: { help: 'End the copy, running or stopped, and drop its replication slot.' },
    restart: { help: 'Empty the tables of the target and copy all again.' },
    'hold-snapshot': { help: 'Hold the snapshot; the copy itself starts this.' },
    ...dryRunOption,
  },
  examples: [
    'pontoon copy orders --dry-run',
    'pontoon copy orders',
    'pontoon copy orders --jobs 8 --rate 100MB/s --max-lag 5s',
    'pontoon copy orders --pause',
  ],
  run,
}

async function run(input: CommandInput): Promise<ExitCode> {
  const { args } = input
  const job = serviceJobOf(input)
  const folder = copyFolder(job.whole.state.file, job.service)
  const order = orders.find((one) => args.has(one))
  if (args.has('hold-snapshot')) return hold(job, folder, args)
  if (order !== undefined) return obeyOrder(input, job, folder, order)
  if (args.has('dry-run')) return rehearseCopy(input, job, jobsOf(args))
  const stop = new AbortController()
  const onSignal = (): void => stop.abort(new PontoonError('ABORTED', interrupted(job.service)))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  await makeCopyFolder(folder)
  const lock = await FolderLock.acquire(folder)
  try {
    await forgetOrders(folder)
    const ended = args.has('restart') ? undefined : await endedBefore(job, folder)
    if (ended !== undefined) return tellEnded(input, job.service, ended)
    const report = await copyLocked(input, job, folder, stop)
    input.output.result({ service: job.service, ...report }, () => describe(job.service, report))
    return exitCodes.ok
  } finally {
    stop.abort()
    await lock.release()
    process.removeListener('SIGINT', onSignal)
    process.removeListener('SIGTERM', onSignal)
  }
}

/** A copy that is over and followed: then there is nothing to do. */
async function endedBefore(job: ServiceJob, folder: string): Promise<CopyJob | undefined> {
  const found = await readJob(folder)
  if (found?.stage !== 'done') return undefined
  const target = await connectAs(job, { side: 'target', purpose: 'control', task: 'copy' })
  try {
    // A switch may have made another one since.
    const stream = (await findStreams(target, job.service, 'forward')).at(-1)
    return stream === undefined ? undefined : { ...found, slot: stream.name }
  } finally {
    target.close()
  }
}

function tellEnded(
  { output }: CommandInput,
  service: string,
  { slot, endedAtMs = 0 }: CopyJob,
): ExitCode {
  const endedAt = new Date(endedAtMs).toISOString()
  output.result(
    { service, slot, endedAt },
    () =>
      `The copy of ${service} ended at ${endedAt}, and the subscription ${slot} follows the source ` +
      `since. Next: pontoon schema ${service} --post-data`,
  )
  return exitCodes.ok
}

async function copyLocked(
  { args, output, streams }: CommandInput,
  job: ServiceJob,
  folder: string,
  stop: AbortController,
): Promise<CopyReport> {
  const { signal } = stop
  const rate = args.value('rate')
  const throttle = new Throttle(
    systemClock,
    rate === undefined ? undefined : parseBytes(rate, '--rate'),
  )
  const chunk = args.value('chunk-size')
  const shown = startCopyProgress({ json: output.json, streams, throttle })
  const obey = (order: Order): void => {
    if (order === 'abort') stop.abort(new CopyAborted())
    else if (order === 'pause') throttle.pause()
    else throttle.resume()
  }
  process.on('SIGUSR1', () => obey('pause'))
  process.on('SIGUSR2', () => obey('resume'))
  const onNote = (words: string): void => shown.onEvent({ kind: 'note', words })
  const lag = watchSource(job, args, { throttle, signal, onNote })
  const watching = [watchOrders(folder, signal, obey), lag]
  for (const one of watching) one.catch((error: unknown) => stop.abort(error))
  try {
    return await runCopy({
      context: job,
      folder,
      exclude: job.config.migration.exclude,
      jobs: jobsOf(args),
      chunkBytes: chunk === undefined ? undefined : parseBytes(chunk, '--chunk-size'),
      restart: args.has('restart'),
      keeperCommand: keeperCommand(job.service, args),
      throttle,
      clock: systemClock,
      signal,
      ...shown,
    })
  } catch (error) {
    if (!(signal.reason instanceof CopyAborted)) throw signal.aborted ? signal.reason : error
    await abandon(job, folder)
    throw new PontoonError(
      'ABORTED',
      `The copy of ${job.service} is given up; its slot is dropped.`,
    )
  } finally {
    shown.close()
  }
}

/** An operator's --abort, which unlike Ctrl-C leaves nothing to go on with. */
class CopyAborted extends Error {
  override readonly name = 'CopyAborted'
}

async function watchSource(
  job: ServiceJob,
  args: ParsedArgs,
  watch: Pick<LagWatchOptions, 'throttle' | 'signal' | 'onNote'>,
): Promise<void> {
  const limit = args.value('max-lag')
  if (limit === undefined) return
  const maxMs = parseDuration(limit, '--max-lag')
  await watchLag({ context: job, maxMs, nowMs: () => systemClock.nowMs(), ...watch })
}

async function hold(job: ServiceJob, folder: string, args: ParsedArgs): Promise<ExitCode> {
  const end = new AbortController()
  process.on('SIGTERM', () => end.abort(new PontoonError('ABORTED', 'the keeper was told to end')))
  const keepFor = args.value('keep-for')
  const keepMs =
    keepFor === undefined ? copyLimits.keepDefaultMs : parseDuration(keepFor, '--keep-for')
  await keepSnapshot({ context: job, folder, keepMs, signal: end.signal })
  return exitCodes.ok
}

/** To the copy that runs; without one, only --abort has something to do. */
async function obeyOrder(
  { output }: CommandInput,
  job: ServiceJob,
  folder: string,
  order: Order,
): Promise<ExitCode> {
  const { service } = job
  const found = await readJob(folder)
  if (found === undefined || found.stage === 'aborted')
    throw new PontoonError('NOT_FOUND', `There is no copy of ${service}.`)
  const lock = await lockUnlessHeld(folder)
  if (lock === undefined) {
    await giveOrder(folder, order)
    output.result(
      { service, order, running: true },
      () => `The copy of ${service} is told: ${order}.`,
    )
    return exitCodes.ok
  }
  try {
    if (order !== 'abort')
      throw new PontoonError('NOT_FOUND', `No copy of ${service} runs on this machine.`)
    await abandon(job, folder)
  } finally {
    await lock.release()
  }
  output.result(
    { service, order, running: false },
    () => `The copy of ${service} is given up; its slot is dropped.`,
  )
  return exitCodes.ok
}

async function lockUnlessHeld(folder: string): Promise<FolderLock | undefined> {
  try {
    return await FolderLock.acquire(folder)
  } catch (error) {
    if (error instanceof PontoonError && error.code === 'STATE_LOCKED') return undefined
    throw error
  }
}

async function abandon(job: ServiceJob, folder: string): Promise<void> {
  const found = await readJob(folder)
  if (found === undefined) return
  const source = await connectAs(job, { side: 'source', purpose: 'control', task: 'copy: abort' })
  try {
    await abandonCopy(job, source, folder, found)
  } finally {
    source.close()
  }
}

/** This very program, whatever runs it. */
function keeperCommand(service: string, args: ParsedArgs): readonly string[] {
  const configs = args.values('config').flatMap((file) => ['--config', file])
  const keepFor = args.value('keep-for')
  const keep = keepFor === undefined ? [] : ['--keep-for', keepFor]
  const [, script = ''] = process.argv
  const own = [process.execPath, ...process.execArgv, script]
  return [...own, 'copy', service, '--hold-snapshot', ...configs, ...keep]
}

function jobsOf(args: ParsedArgs): number {
  const text = args.value('jobs')
  if (text === undefined) return copyLimits.jobsDefault
  const jobs = Number(text)
  if (Number.isInteger(jobs) && jobs >= 1 && jobs <= copyLimits.jobsMax) return jobs
  throw new PontoonError('USAGE', `--jobs: a number from 1 to ${copyLimits.jobsMax}.`)
}

function interrupted(service: string): string {
  return (
    `The copy of ${service} was interrupted. Run it again to go on, or with --abort to give it up: ` +
    'until then the source keeps WAL for it.'
  )
}

function describe(service: string, report: CopyReport): string {
  const { tables, rows, bytes, tookMs, leftToSync, slot } = report
  const left =
    leftToSync.length === 0 ? [] : [`By the target's table sync: ${leftToSync.join(', ')}.`]
  return [
    `${service}: ${counted(tables, 'table')}, ${formatAmount(rows, 'rows')}, ${formatAmount(bytes, 'bytes')} ` +
      `copied in ${formatDuration(tookMs)}.`,
    ...left,
    `The subscription ${slot} follows the source from here. Next: pontoon schema ${service} --post-data`,
  ].join('\n')
}
