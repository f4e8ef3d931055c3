/** pontoon abort SERVICE: undoes the cutover or rollback that is under way. */
import { PontoonError } from '../shared/errors.ts'
import { AdminClient } from './admin-client.ts'
import { adminOptions, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'

export const abort: Command = {
  name: 'abort',
  summary: 'Put back what a cutover or rollback under way has done.',
  details: 'Without effect once it is committed; `pontoon rollback` is the way back then.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: { ...adminOptions },
  examples: ['pontoon abort orders'],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const [name = ''] = args.positionals
  const client = new AdminClient({ args, env })
  const { operation } = await client.service(name)
  if (operation === null)
    throw new PontoonError('NOT_FOUND', `${name}: no cutover or rollback is under way.`)
  const told = await client.abortOperation(operation.id)
  output.result(told, () => `${told.kind} ${told.id} was told to put everything back.`)
  return exitCodes.ok
}
