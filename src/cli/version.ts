/** pontoon version. */
import { version as pontoonVersion } from '../control/version.ts'
import { exitCodes } from './command.ts'
import type { Command } from './command.ts'

export const version: Command = {
  name: 'version',
  summary: 'Print the version.',
  positionals: [],
  options: {},
  examples: ['pontoon version', 'pontoon version --json'],
  run: async ({ output }) => {
    const facts = { version: pontoonVersion, node: process.version }
    output.result(facts, () => `pontoon ${facts.version} (Node ${facts.node})`)
    return exitCodes.ok
  },
}
