/**
 * The pause that a rehearsal predicts, beside the one that comes. With databases that are far away
 * from Pontoon both are a number of round trips, on a busy machine as well.
 */
import tap from 'tap'
import { z } from 'zod'
import { OperatedPair } from '../../../support/operated-pair.ts'

tap.setTimeout(280_000)

const answer = z.object({
  report: z.object({
    outcome: z.literal('done'),
    pauseMs: z.number().nullable(),
    predictedPauseMs: z.number().nullable(),
  }),
})

const delayMs = 50
const roundTripMs = 2 * delayMs
/** Of round trips that are counted wrong, and of what a busy machine adds. */
const wrongMax = 3

for (const [source, target] of [
  [15, 15],
  [17, 18],
] as const)
  await tap.test(`far away, ${source} and ${target}`, async (t) => {
    const operated = await OperatedPair.start(t, { source, target, relays: true })
    const { network } = operated.pair
    for (const side of ['source', 'target'] as const) network?.sides[side].delay(delayMs)
    const ask = async (...args: string[]): Promise<z.infer<typeof answer>['report']> => {
      const { json, out, err } = await operated.ask(
        'cutover',
        '--json',
        '--deadline',
        '30s',
        ...args,
      )
      const parsed = answer.safeParse(json)
      if (!parsed.success) throw new Error(out + err)
      return parsed.data.report
    }
    const predictedMs = (await ask('--dry-run')).predictedPauseMs ?? 0
    const { pauseMs } = await ask()
    const words = `predicted ${predictedMs} ms, measured ${Math.round(Number(pauseMs))} ms`
    t.ok(Math.abs(predictedMs - Number(pauseMs)) < wrongMax * roundTripMs, words)
  })
