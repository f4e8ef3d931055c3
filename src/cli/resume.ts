/** pontoon resume SERVICE: opens the gate before its deadline. */
import { AdminClient } from './admin-client.ts'
import { adminOptions, dryRunOption, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { formatDuration } from './duration.ts'

export const resume: Command = {
  name: 'resume',
  summary: 'End a pause: parked transactions go on in order.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: { ...dryRunOption, ...adminOptions },
  examples: ['pontoon resume orders'],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const [service = ''] = args.positionals
  const client = new AdminClient({ args, env })
  const { gate: before } = await client.service(service)
  const dryRun = args.has('dry-run')
  const after = dryRun ? before : await client.resume(service)
  output.result({ service, before, after, applied: !dryRun }, () => {
    if (before.state === 'open') return `${service} was not paused.`
    const paused = `${before.parked} parked, paused for ${formatDuration(before.pausedForMs)}`
    return `${service} ${dryRun ? 'would go' : 'goes'} on (${paused}).`
  })
  return exitCodes.ok
}
