/** The fourth act: the writes change sides, there, back, and there again. */
import { z } from 'zod'
import { exitCodes } from '../../src/cli/command.ts'
import type { Side } from '../../src/shared/side.ts'
import { heading, operate } from './stage.ts'
import type { Stage } from './stage.ts'
import { watch } from './stretch.ts'
import type { Stretch, SwitchResult } from './verdict.ts'

const operation = z.object({
  report: z.object({
    outcome: z.string(),
    pauseMs: z.number().nullable(),
    reason: z.string().nullable(),
    steps: z.array(z.object({ step: z.string(), tookMs: z.number() })),
    route: z.object({ epoch: z.number() }),
  }),
})
type Report = z.infer<typeof operation>['report']

/** A switch that was in doubt is put back and may be tried again; on a busy machine that happens. */
const attemptsMax = 3
/** Steps of the pause, in the order in which they run. */
const firstInPause = 'gate'
const lastInPause = 'open'

export async function changeSides(
  stage: Stage,
): Promise<{ readonly switches: readonly SwitchResult[]; readonly stretches: readonly Stretch[] }> {
  const switches: SwitchResult[] = []
  const stretches: Stretch[] = []
  const to = async (
    kind: SwitchResult['kind'],
    primary: Side,
    name: string,
    what: string,
  ): Promise<void> => {
    heading(stage.view, kind, what)
    if (switches.length === 0) await operate(stage, [kind, 'orders', '--dry-run'])
    switches.push(await change(stage, kind))
    const reads = primary === 'target' ? 100 : 0
    stretches.push(await watch(stage, { name, reads, primary }))
  }
  await to(
    'cutover',
    'target',
    'after cutover',
    'the writes move to the target, the way back armed',
  )
  await to('rollback', 'source', 'after rollback', 'back to the source, with all that was written')
  await to('cutover', 'target', 'after cutover 2', 'and to the target for good')
  return { switches, stretches }
}

async function change(stage: Stage, kind: SwitchResult['kind']): Promise<SwitchResult> {
  const { application, view } = stage
  for (let attempts = 1; ; attempts += 1) {
    view.say(`$ pontoon ${kind} orders`)
    const [report, experience] = await application.during(() => run(stage, kind))
    if (report.outcome === 'done' && report.pauseMs !== null) {
      view.say(`  done (epoch ${report.route.epoch}): ${stepsInPause(report)}`)
      view.say(
        `  gate shut for ${Math.round(report.pauseMs)} ms; longest wait of any client ` +
          `${Math.round(experience.longestGapMs)} ms; ${experience.errors} errors`,
      )
      return { kind, ...experience, pauseMs: report.pauseMs, attempts }
    }
    view.say(`  ${report.outcome}, everything is as it was: ${report.reason}`)
    if (attempts === attemptsMax)
      throw new Error(`${kind} ${report.outcome} ${attempts} times: ${report.reason}`)
  }
}

/** Throws where it neither went through nor was put back. */
async function run({ sidecar, signal }: Stage, kind: SwitchResult['kind']): Promise<Report> {
  const { code, stdout, stderr } = await sidecar.command([kind, 'orders', '--json'], signal)
  const known: readonly (number | null)[] = [
    exitCodes.ok,
    exitCodes.refused,
    exitCodes.abortedSafely,
  ]
  if (!known.includes(code))
    throw new Error(`pontoon ${kind}: exit code ${code}\n${stdout}${stderr}`)
  return operation.parse(JSON.parse(stdout)).report
}

function stepsInPause({ steps }: Report): string {
  const names = steps.map(({ step }) => step)
  const paused = steps.slice(names.indexOf(firstInPause), names.indexOf(lastInPause) + 1)
  return paused.map(({ step, tookMs }) => `${step} ${tookMs.toFixed(0)}`).join(', ') + ' ms'
}
