/** Runs one command line and says how it ended; main.ts gives it the process. */
import { exitCodes } from './command.ts'
import type { CommandInput, ExitCode } from './command.ts'
import { loadCommand, loadCommands } from './commands.ts'
import { reportFailure } from './failure.ts'
import { helpOverview, helpPage } from './help.ts'
import { createOutput } from './output.ts'
import type { Streams } from './output.ts'
import { parseCommandArgs } from './parse.ts'

const aliases: Readonly<Record<string, string>> = {
  '--help': 'help',
  '-h': 'help',
  '--version': 'version',
  '-v': 'version',
}

export async function runCommandLine(
  argv: readonly string[],
  env: CommandInput['env'],
  streams: Streams,
): Promise<ExitCode> {
  // Known before parsing, so that a mistake in the arguments is reported in the right form too.
  const output = createOutput(argv.includes('--json'), streams)
  const [first, ...rest] = argv
  try {
    if (first === undefined) {
      output.text(helpOverview(await loadCommands()))
      return exitCodes.usage
    }
    const command = await loadCommand(aliases[first] ?? first)
    const args = parseCommandArgs(command, rest)
    if (args.has('help')) {
      output.text(helpPage(command))
      return exitCodes.ok
    }
    return await command.run({ args, output, streams, env })
  } catch (thrown) {
    return reportFailure(thrown, output)
  }
}
