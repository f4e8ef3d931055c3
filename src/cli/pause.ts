/** pontoon pause SERVICE: parks new transactions for a while and lets running ones end. */
import type { DrainReport } from '../proxy/service.ts'
import { gateLimits } from '../control/limits.ts'
import { PontoonError } from '../shared/errors.ts'
import { AdminClient } from './admin-client.ts'
import { describeClients } from './client-table.ts'
import { adminOptions, dryRunOption, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { formatDuration, parseDuration } from './duration.ts'

export const pause: Command = {
  name: 'pause',
  summary: 'Park new transactions for a while; running ones end.',
  details:
    'Clients wait and get no error. The gate opens by itself after --for, or with resume.\n' +
    'Exit code 5 if some transactions still ran when --wait was over; the pause stays in force.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: {
    for: {
      value: 'DURATION',
      help: 'Longest pause, such as 500ms or 5s (default 5s, at most 60s).',
    },
    wait: { value: 'DURATION', help: 'How long to wait for running transactions (default 1s).' },
    terminate: { help: 'End the sessions that still hold a server after --wait (SQLSTATE 57P01).' },
    ...dryRunOption,
    ...adminOptions,
  },
  examples: [
    'pontoon pause orders',
    'pontoon pause orders --for 20s --wait 10s',
    'pontoon pause orders --wait 2s --terminate',
  ],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const [service = ''] = args.positionals
  const forMs = parseDuration(args.value('for') ?? `${gateLimits.pauseDefaultMs}ms`, '--for')
  if (forMs > gateLimits.pauseMaxMs) {
    throw new PontoonError('USAGE', `--for: at most ${formatDuration(gateLimits.pauseMaxMs)}.`)
  }
  const asked = parseDuration(args.value('wait') ?? `${gateLimits.waitDefaultMs}ms`, '--wait')
  const waitMs = Math.min(asked, forMs)
  const client = new AdminClient({ args, env })
  if (args.has('dry-run')) return await explain(client, service, forMs, output)
  const report = await client.pause(service, forMs, waitMs, args.has('terminate'))
  output.result({ service, forMs, ...report }, () => describe(service, forMs, report))
  return report.drained ? exitCodes.ok : exitCodes.pending
}

async function explain(
  client: AdminClient,
  service: string,
  forMs: number,
  output: CommandInput['output'],
): Promise<ExitCode> {
  const { clients, gate } = await client.service(service)
  const running = clients.active + clients.pinned
  output.result(
    { service, forMs, gate, clients, applied: false },
    () =>
      `${service} would be paused for at most ${formatDuration(forMs)}; ` +
      `${running} of its clients hold a server now.`,
  )
  return exitCodes.ok
}

function describe(
  service: string,
  forMs: number,
  { drained, waitingFor, ended = 0 }: DrainReport,
): string {
  const until = `it opens by itself after ${formatDuration(forMs)}, or with pontoon resume ${service}`
  const after =
    ended === 0 ? '' : ` after ${ended} ${ended === 1 ? 'session was' : 'sessions were'} ended`
  if (drained) return `${service} is paused and drained${after}; ${until}.`
  const count = waitingFor.length
  return [
    `${service} is paused, but ${count} ${count === 1 ? 'session still holds' : 'sessions still hold'} a server; ${until}.`,
    '',
    describeClients(waitingFor),
  ].join('\n')
}
