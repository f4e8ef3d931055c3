/** What shift and phase share: read the epoch, ask for the change, print before and after. */
import type { RouteAnswer } from '../control/operator.ts'
import { PontoonError } from '../shared/errors.ts'
import type { Route, RoutePatch } from '../routing/route.ts'
import { AdminClient } from './admin-client.ts'
import { adminOptions, dryRunOption, exitCodes } from './command.ts'
import type { CommandInput, ExitCode, OptionSpec } from './command.ts'

export const routeChangeOptions: Readonly<Record<string, OptionSpec>> = {
  epoch: { value: 'N', help: 'Only if the route is still at this epoch; otherwise refused.' },
  ...dryRunOption,
  ...adminOptions,
}

export async function changeRoute(
  { args, output, env }: CommandInput,
  service: string,
  patch: RoutePatch,
): Promise<ExitCode> {
  const client = new AdminClient({ args, env })
  const dryRun = args.has('dry-run')
  const epoch = args.value('epoch')
  const change =
    epoch === undefined
      ? await changeLatest(client, service, patch, dryRun)
      : await client.changeRoute(service, patch, parseEpoch(epoch), dryRun)
  output.result({ service, ...change }, () => describeChange(service, change, dryRun))
  return exitCodes.ok
}

/** Somebody else may change the route in between: then once more, on the new epoch. */
async function changeLatest(
  client: AdminClient,
  service: string,
  patch: RoutePatch,
  dryRun: boolean,
): Promise<RouteAnswer> {
  const { route } = await client.service(service)
  try {
    return await client.changeRoute(service, patch, route.epoch, dryRun)
  } catch (error) {
    if (!(error instanceof PontoonError) || error.code !== 'EPOCH_STALE') throw error
    const { route: newer } = await client.service(service)
    return await client.changeRoute(service, patch, newer.epoch, dryRun)
  }
}

function parseEpoch(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new PontoonError('USAGE', `--epoch: '${text}' is not a whole number.`)
}

const words: readonly (readonly [name: keyof Route, words: string, unit: string])[] = [
  ['phase', 'phase', ''],
  ['reads', 'reads on the target', '%'],
  ['mirror', 'mirror', '%'],
  ['dualWrite', 'dual-write', '%'],
  ['primary', 'writes go to', ''],
  ['epoch', 'epoch', ''],
]

function describeChange(
  service: string,
  { before, after, warning }: RouteAnswer,
  dryRun: boolean,
): string {
  const changes = words
    .filter(([name]) => before[name] !== after[name])
    .map(([name, text, unit]) => `  ${text}: ${before[name]}${unit} → ${after[name]}${unit}`)
  const lead =
    changes.length === 0
      ? `${service}: nothing to change (epoch ${before.epoch}).`
      : `${service} ${dryRun ? 'would change' : 'changed'}:`
  return [lead, ...changes, ...(warning === null ? [] : [`Warning: ${warning}`])].join('\n')
}
