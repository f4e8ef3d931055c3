/** pontoon rollback SERVICE: moves the writes back to the source. */
import type { Command } from './command.ts'
import { runSwitchCommand, switchOptions } from './switch-command.ts'

export const rollback: Command = {
  name: 'rollback',
  summary: 'Move the writes back to the source; loses nothing.',
  details:
    'The same steps as cutover with the sides swapped, and the same exit codes. May be done any\n' +
    'number of times, and cutover again after it. With --primary-lost the writes go to the source\n' +
    'though the target is gone for good: see cutover.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: switchOptions,
  examples: [
    'pontoon rollback orders --dry-run',
    'pontoon rollback orders',
    'pontoon rollback orders --primary-lost --yes',
  ],
  run: (input) => runSwitchCommand(input, 'rollback'),
}
