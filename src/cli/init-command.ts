/** How `pontoon init` stands in the list of commands; init.ts does the work. */
import type { Command } from './command.ts'
import { dryRunOption } from './command.ts'
import { runInit } from './init.ts'

export const init: Command = {
  name: 'init',
  summary: 'Write a first configuration from the URL that the application uses today.',
  details:
    'Takes the URLs from DATABASE_URL and REDIS_URL where they are not given. No password is\n' +
    'written: the file names the environment variables to set.',
  positionals: [
    { name: 'DATABASE_URL', optional: true, help: 'postgres://… of the application.' },
    { name: 'REDIS_URL', optional: true, help: 'redis://… of the application.' },
  ],
  options: {
    output: { value: 'FILE', help: 'Where to write (default pontoon.yml).' },
    force: { help: 'Replace an existing file.' },
    ...dryRunOption,
  },
  examples: [
    'pontoon init postgres://app@db.internal:5432/orders',
    'pontoon init --output config/database.yml --dry-run',
  ],
  run: async ({ args, output, env, streams }) => {
    const file = args.value('output')
    const given = [
      ...args.positionals,
      ...(file === undefined ? [] : ['--output', file]),
      ...['force', 'dry-run'].filter((name) => args.has(name)).map((name) => `--${name}`),
      ...(output.json ? ['--json'] : []),
    ]
    const stdout = { write: streams.out }
    return await runInit(given, { env, stdout, stderr: { write: streams.err }, cwd: process.cwd() })
  },
}
