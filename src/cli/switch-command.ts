/**
 * What `pontoon cutover` and `pontoon rollback` have in common: start the operation in the sidecar,
 * show its steps as they are done, and say how it ended. The sidecar does the work; killing this
 * process changes nothing, Ctrl-C asks for an abort.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { switchLimits } from '../control/limits.ts'
import type { Operation } from '../control/switches.ts'
import {
  pinnedPolicies,
  stepTexts,
  type PinnedPolicy,
  type SwitchReport,
} from '../migration/pg/switch/model.ts'
import { awaitedSide, lostPrimaryAdvice } from '../migration/pg/switch/out-of-reach.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import { otherSide } from '../shared/side.ts'
import type { SwitchKind } from '../store/switch-record.ts'
import { AdminClient } from './admin-client.ts'
import { adminOptions, dryRunOption, exitCodes } from './command.ts'
import type { CommandInput, ExitCode, OptionSpec } from './command.ts'
import { parseDuration } from './duration.ts'
import type { Output } from './output.ts'

export const switchOptions: Readonly<Record<string, OptionSpec>> = {
  deadline: {
    value: 'DURATION',
    help: 'Put everything back when not committed this long after the gate shut (default 5s).',
  },
  pinned: {
    value: 'POLICY',
    help: 'Sessions that cannot follow: abort (default), wait, or terminate them (57P01).',
  },
  'primary-lost': {
    help: 'The side that takes the writes is lost for good: leave it. Asks for --yes.',
  },
  yes: { help: 'With --primary-lost: do it, although acknowledged writes may be missing.' },
  ...dryRunOption,
  ...adminOptions,
}

const pollMs = 50
/** The sidecar may restart under us; its next start finishes what it was about. */
const lostMs = 20_000
/** A step that waits for a side says so after this long; nothing else would be printed meanwhile. */
const silentMs = 5_000

export async function runSwitchCommand(
  { args, output, env }: CommandInput,
  kind: SwitchKind,
): Promise<ExitCode> {
  const [service = ''] = args.positionals
  const client = new AdminClient({ args, env })
  const primaryLost = args.has('primary-lost')
  if (args.has('yes') && !primaryLost)
    throw new PontoonError('USAGE', '--yes: belongs to --primary-lost.')
  const idle = ['deadline', 'pinned'].find((name) => args.value(name) !== undefined)
  if (primaryLost && idle !== undefined)
    throw new PontoonError('USAGE', `--${idle}: has no meaning with --primary-lost.`)
  const isUnconfirmed = primaryLost && !args.has('yes')
  const dryRun = args.has('dry-run') || isUnconfirmed
  const deadlineMs = deadlineOf(args.value('deadline'))
  const options = { dryRun, deadlineMs, pinned: pinnedOf(args), primaryLost }
  const started = await client.startSwitch(service, kind, options, randomUUID())
  const onInterrupt = (): void => {
    output.remark('asking for an abort …')
    client.abortOperation(started.id).catch(() => undefined)
  }
  process.on('SIGINT', onInterrupt)
  try {
    const exit = await follow(client, started, output, primaryLost)
    if (exit !== exitCodes.ok || !isUnconfirmed || args.has('dry-run')) return exit
    output.remark('Nothing was done; add --yes to do it.')
    return exitCodes.refused
  } finally {
    process.removeListener('SIGINT', onInterrupt)
  }
}

async function follow(
  client: AdminClient,
  started: Operation,
  output: Output,
  primaryLost: boolean,
): Promise<ExitCode> {
  let shown = 0
  let lastSeenMs = performance.now()
  let stepSinceMs = lastSeenMs
  let isToBeSaid = !primaryLost
  for (;;) {
    try {
      const operation = await client.operation(started.id)
      lastSeenMs = performance.now()
      for (const { step, tookMs } of operation.steps.slice(shown))
        output.remark(`  ${stepTexts[step]} (${tookMs.toFixed(1)} ms)`)
      if (operation.steps.length > shown) stepSinceMs = lastSeenMs
      shown = Math.max(shown, operation.steps.length)
      const words = waitingWords(operation)
      if (isToBeSaid && words !== null && lastSeenMs - stepSinceMs > silentMs) {
        output.remark(words)
        isToBeSaid = false
      }
      if (operation.state !== 'running') return finish(operation, output)
    } catch (thrown) {
      const error = toPontoonError(thrown)
      if (error.code === 'NOT_FOUND' || performance.now() - lastSeenMs > lostMs)
        return pending(started, error, output)
      if (error.code !== 'ADMIN_UNREACHABLE') throw error
    }
    await delay(pollMs)
  }
}

/** Of a switch that is decided and cannot end without a side. */
function waitingWords({ service, kind, step }: Operation): string | null {
  if (step !== 'undo' && step !== 'unfence') return null
  const to = kind === 'cutover' ? 'target' : 'source'
  const state = step === 'undo' ? 'aborting' : 'committed'
  const side = awaitedSide({ state, from: otherSide(to), to })
  return `  it waits for the ${side}; the log of the sidecar says why. ${lostPrimaryAdvice(service, side)}`
}

function pending({ id, service, kind }: Operation, error: PontoonError, output: Output): ExitCode {
  output.result(
    { id, service, kind, state: 'pending', message: error.message },
    () =>
      `The sidecar does not tell how the ${kind} of ${service} ended (${error.message}). ` +
      `Its next start finishes what was decided; pontoon status ${service} shows it.`,
  )
  return exitCodes.pending
}

function finish(operation: Operation, output: Output): ExitCode {
  const { report, service, kind, stepText } = operation
  if (report === null)
    throw new PontoonError('INTERNAL', `the ${kind} of ${service} failed: ${stepText}`)
  output.result(operation, () => describe(service, report))
  if (report.outcome === 'done') return exitCodes.ok
  return report.outcome === 'refused' ? exitCodes.refused : exitCodes.abortedSafely
}

function describe(service: string, report: SwitchReport): string {
  const { kind, outcome, dryRun, pauseMs, predictedPauseMs, reason, to, route } = report
  const { primaryLost } = report
  const warnings = report.guards
    .filter(({ ok }) => !ok)
    .map(
      ({ name, severity, text }) =>
        `  ${severity === 'blocker' ? 'REFUSED' : 'warning'} ${name}: ${text}`,
    )
  const pause = pauseMs === null ? '' : ` Writes paused for ${pauseMs.toFixed(0)} ms.`
  if (outcome === 'refused')
    return [`${service}: ${kind} refused, nothing was changed.`, ...warnings, `  ${reason}`].join(
      '\n',
    )
  if (outcome === 'aborted')
    return [`${service}: ${kind} aborted, everything is as it was.${pause}`, `  ${reason}`].join(
      '\n',
    )
  const loss = report.guards.filter(({ name, ok }) => primaryLost && name === 'loss' && ok)
  if (primaryLost) warnings.unshift(...loss.map(({ text }) => `  ${text}`))
  if (dryRun && primaryLost)
    return [`${service}: a forced ${kind} would go through.`, ...warnings].join('\n')
  if (dryRun)
    return [
      `${service}: ${kind} would go through; predicted pause ${predictedPauseMs} ms.`,
      ...warnings,
    ].join('\n')
  return [
    `${service}: the ${to} takes the writes now (epoch ${route.epoch}, phase ${route.phase}).${pause}`,
    ...warnings,
  ].join('\n')
}

function deadlineOf(text: string | undefined): number {
  if (text === undefined) return switchLimits.deadlineDefaultMs
  const deadlineMs = parseDuration(text, '--deadline')
  const { deadlineMinMs, deadlineMaxMs } = switchLimits
  if (deadlineMs >= deadlineMinMs && deadlineMs <= deadlineMaxMs) return deadlineMs
  throw new PontoonError(
    'USAGE',
    `--deadline: from ${deadlineMinMs}ms to ${deadlineMaxMs / 1_000}s.`,
  )
}

function pinnedOf(args: CommandInput['args']): PinnedPolicy {
  const text = args.value('pinned') ?? 'abort'
  const policy = pinnedPolicies.find((one) => one === text)
  if (policy !== undefined) return policy
  throw new PontoonError('USAGE', `--pinned: one of ${pinnedPolicies.join(', ')}.`)
}
