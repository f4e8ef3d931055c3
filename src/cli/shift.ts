/** pontoon shift SERVICE --reads N: how many of the reads go to the target. */
import { PontoonError } from '../shared/errors.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'
import { changeRoute, routeChangeOptions } from './route-change.ts'

export const shift: Command = {
  name: 'shift',
  summary: 'Set the percentage of eligible reads that go to the target.',
  details:
    'Effective for the next transaction of every session, and durable. Writes stay where they\n' +
    'are; 0 takes all reads back to the source.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: {
    reads: { value: 'N', help: 'Percent of eligible reads on the target, 0 to 100.' },
    ...routeChangeOptions,
  },
  examples: [
    'pontoon shift orders --reads 10',
    'pontoon shift orders --reads 0',
    'pontoon shift orders --reads 50 --dry-run',
    'pontoon shift orders --reads 50 --epoch 7',
  ],
  run,
}

async function run(input: CommandInput): Promise<ExitCode> {
  const [service = ''] = input.args.positionals
  const reads = parsePercent(input.args.value('reads'))
  return await changeRoute(input, service, { reads })
}

function parsePercent(text: string | undefined): number {
  if (text === undefined) throw new PontoonError('USAGE', 'shift needs --reads N, from 0 to 100.')
  const percent = /^\d{1,3}(?:\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN
  if (percent >= 0 && percent <= 100) return percent
  throw new PontoonError('USAGE', `--reads: '${text}' is not a percentage from 0 to 100.`)
}
