/** pontoon cutover SERVICE: moves the writes to the target. */
import type { Command } from './command.ts'
import { runSwitchCommand, switchOptions } from './switch-command.ts'

export const cutover: Command = {
  name: 'cutover',
  summary: 'Move the writes to the target, with the way back armed first.',
  details:
    'The sidecar checks every condition, arms and proves the sync back to the source, parks new\n' +
    'transactions, fences the source, waits until the target has everything, and commits. Clients\n' +
    'wait for that long and get no error. Any doubt before the commit point puts everything back\n' +
    '(exit code 4); Ctrl-C asks for that too. Refused by a condition: exit code 3. If the sidecar\n' +
    'goes away, exit code 5: its next start finishes what was decided.\n' +
    'With --primary-lost the writes go to the target though the source is gone for good, also in the\n' +
    'place of a switch that waits for it: refused while the source answers, or the target was never\n' +
    'a whole copy. It says first which acknowledged writes may be missing, and needs --yes.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: switchOptions,
  examples: [
    'pontoon cutover orders --dry-run',
    'pontoon cutover orders',
    'pontoon cutover orders --deadline 2s --pinned terminate',
    'pontoon cutover orders --primary-lost --yes',
  ],
  run: (input) => runSwitchCommand(input, 'cutover'),
}
