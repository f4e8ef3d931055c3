/** pontoon help [COMMAND]. */
import { nearest } from '../config/nearest.ts'
import { PontoonError } from '../shared/errors.ts'
import { exitCodes } from './command.ts'
import type { Command } from './command.ts'
import { helpOverview, helpPage } from './help.ts'

/** It explains every command, itself included, so it is made with the list. */
export function createHelp(commands: () => readonly Command[]): Command {
  return {
    name: 'help',
    summary: 'Explain Pontoon or one of its commands.',
    positionals: [{ name: 'COMMAND', optional: true, help: 'The command to explain.' }],
    options: {},
    examples: ['pontoon help', 'pontoon help shift'],
    run: async ({ args, output }) => {
      const [name] = args.positionals
      const all = commands()
      output.text(name === undefined ? helpOverview(all) : helpPage(findCommand(all, name)))
      return exitCodes.ok
    },
  }
}

/** Throws USAGE, naming the nearest. */
export function findCommand(commands: readonly Command[], name: string): Command {
  const found = commands.find((command) => command.name === name)
  if (found !== undefined) return found
  const names = commands.map((command) => command.name)
  const near = nearest(name, names)
  const hint = near === undefined ? `There are ${names.join(', ')}.` : `Did you mean '${near}'?`
  throw new PontoonError('USAGE', `there is no command '${name}'. ${hint}`)
}
