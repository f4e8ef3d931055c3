/** pontoon phase SERVICE NAME: moves a service to a phase, a named profile of its route. */
import { phaseNames } from '../routing/route.ts'
import type { PhaseName } from '../routing/route.ts'
import { PontoonError } from '../shared/errors.ts'
import { nearest } from '../config/nearest.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { changeRoute, routeChangeOptions } from './route-change.ts'

export const phase: Command = {
  name: 'phase',
  summary: 'Move a service to a phase: a named profile of its route.',
  details:
    `Phases: ${phaseNames.join(', ')}.\n` +
    'managed moves the writes: only a cutover reaches it. Nothing in this version leads to\n' +
    'shadow, which needs mirroring, nor to retired.',
  positionals: [
    { name: 'SERVICE', help: 'Name of the service.' },
    { name: 'NAME', help: 'Name of the phase.' },
  ],
  options: routeChangeOptions,
  examples: ['pontoon phase orders canary', 'pontoon phase orders self-hosted --dry-run'],
  run,
}

async function run(input: CommandInput): Promise<ExitCode> {
  const [service = '', name = ''] = input.args.positionals
  return await changeRoute(input, service, { phase: parsePhase(name) })
}

function parsePhase(name: string): PhaseName {
  const known = phaseNames.find((one) => one === name)
  if (known !== undefined) return known
  const near = nearest(name, phaseNames)
  const hint = near === undefined ? `There are ${phaseNames.join(', ')}.` : `Did you mean ${near}?`
  throw new PontoonError('USAGE', `'${name}' is not a phase. ${hint}`)
}
