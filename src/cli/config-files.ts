/** Which configuration files a command works with: --config, or one of two usual places. */
import { existsSync } from 'node:fs'
import { PontoonError } from '../shared/errors.ts'
import type { OptionSpec, ParsedArgs } from './command.ts'

const usualFiles = ['./config/database.yml', './pontoon.yml'] as const

export const configOption: Readonly<Record<string, OptionSpec>> = {
  config: {
    value: 'FILE',
    multiple: true,
    help: `Configuration; may be repeated, the later wins (default ${usualFiles.join(' or ')}).`,
  },
}

/** Throws USAGE when none is named and none is in its usual place. */
export function configFilesOf(args: ParsedArgs): readonly string[] {
  const named = args.values('config')
  if (named.length > 0) return named
  const usual = usualFiles.find((file) => existsSync(file))
  if (usual !== undefined) return [usual]
  throw new PontoonError(
    'USAGE',
    `no --config FILE, and neither ${usualFiles.join(' nor ')} exists; pontoon init writes one.`,
  )
}
