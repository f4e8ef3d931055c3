/** pontoon help [COMMAND]. */
import { exitCodes } from './command.ts'
import type { Command } from './command.ts'
import { helpOverview, helpPage } from './help.ts'

/** It explains every command, itself included, so it is given the list. */
export function createHelp(
  loadCommands: () => Promise<readonly Command[]>,
  loadCommand: (name: string) => Promise<Command>,
): Command {
  return {
    name: 'help',
    summary: 'Explain Pontoon or one of its commands.',
    positionals: [{ name: 'COMMAND', optional: true, help: 'The command to explain.' }],
    options: {},
    examples: ['pontoon help', 'pontoon help shift'],
    run: async ({ args, output }) => {
      const [name] = args.positionals
      output.text(
        name === undefined ? helpOverview(await loadCommands()) : helpPage(await loadCommand(name)),
      )
      return exitCodes.ok
    },
  }
}
