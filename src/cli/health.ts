/** pontoon health [PROBE]: what a container's health check runs, where there is no shell or curl. */
import { PontoonError } from '../shared/errors.ts'
import { AdminClient, healthProbes } from './admin-client.ts'
import { adminOptions, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'

export const health: Command = {
  name: 'health',
  summary: 'Ask a running sidecar whether it has started, lives or is ready.',
  details:
    'For health checks of containers. It needs no token; --admin may also name the probe listener.\n' +
    'Exit code 1 when the answer is no or there is none.',
  positionals: [
    { name: 'PROBE', optional: true, help: `${healthProbes.join(', ')}; default: ready.` },
  ],
  options: adminOptions,
  examples: ['pontoon health', 'pontoon health live --admin http://127.0.0.1:9901'],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const [asked = 'ready'] = args.positionals
  const probe = healthProbes.find((name) => name === asked)
  if (probe === undefined) {
    throw new PontoonError('USAGE', `'${asked}' is none of ${healthProbes.join(', ')}.`)
  }
  const report = await new AdminClient({ args, env }).health(probe)
  output.result({ probe, ...report }, () =>
    [`${report.ok ? 'yes' : 'no'}: ${report.state}`, ...report.reasons].join('\n'),
  )
  return report.ok ? exitCodes.ok : exitCodes.failed
}
