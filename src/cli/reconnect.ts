/** pontoon reconnect SERVICE: replaces every server, e.g. after a change of DNS or certificates. */
import { AdminClient } from './admin-client.ts'
import { adminOptions, dryRunOption, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'

export const reconnect: Command = {
  name: 'reconnect',
  summary: 'Replace the servers of a service: idle ones now, busy ones when they are free.',
  details: 'Clients notice nothing. Useful after a change of DNS, certificates or roles.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: { ...dryRunOption, ...adminOptions },
  examples: ['pontoon reconnect orders'],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const [service = ''] = args.positionals
  const client = new AdminClient({ args, env })
  const { pools } = await client.service(service)
  const idle = pools.reduce((sum, pool) => sum + pool.idle, 0)
  const busy = pools.reduce((sum, pool) => sum + pool.active + pool.connecting, 0)
  const dryRun = args.has('dry-run')
  if (!dryRun) await client.reconnect(service)
  output.result({ service, idle, busy, applied: !dryRun }, () => {
    const would = dryRun ? 'would be' : 'are being'
    return `${service}: ${idle} idle and ${busy} busy servers ${would} replaced.`
  })
  return exitCodes.ok
}
