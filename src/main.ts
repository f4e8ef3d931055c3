#!/usr/bin/env node
/** The `pontoon` command: hands the command line to cli/run.ts and exits with what it answers. */
import { exitCodes } from './cli/command.ts'
import { processStreams } from './cli/output.ts'
import { runCommandLine } from './cli/run.ts'

// A reader that has seen enough (`pontoon status | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

process.exitCode = await runCommandLine(process.argv.slice(2), process.env, processStreams)
// A command that has answered is over, whatever handle is still open.
process.exit()
