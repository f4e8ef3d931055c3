/**
 * Every command, in the order in which an operator meets them. Each is loaded when it is asked for:
 * all of them together take longer to load than most take to run.
 */
import { nearest } from '../config/nearest.ts'
import { PontoonError } from '../shared/errors.ts'
import type { Command } from './command.ts'

const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  init: async () => (await import('./init-command.ts')).init,
  check: async () => (await import('./check.ts')).check,
  serve: async () => (await import('./serve.ts')).serve,
  schema: async () => (await import('./schema.ts')).schema,
  copy: async () => (await import('./copy.ts')).copy,
  status: async () => (await import('./status.ts')).status,
  shift: async () => (await import('./shift.ts')).shift,
  phase: async () => (await import('./phase.ts')).phase,
  pause: async () => (await import('./pause.ts')).pause,
  resume: async () => (await import('./resume.ts')).resume,
  reconnect: async () => (await import('./reconnect.ts')).reconnect,
  sync: async () => (await import('./sync.ts')).sync,
  verify: async () => (await import('./verify.ts')).verify,
  cutover: async () => (await import('./cutover.ts')).cutover,
  rollback: async () => (await import('./rollback.ts')).rollback,
  abort: async () => (await import('./abort.ts')).abort,
  health: async () => (await import('./health.ts')).health,
  version: async () => (await import('./version.ts')).version,
  help: async () => (await import('./help-command.ts')).createHelp(loadCommands, loadCommand),
}

export function loadCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(loaders).map((load) => load()))
}

/** Rejects with USAGE, naming the nearest. */
export async function loadCommand(name: string): Promise<Command> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined
  if (load !== undefined) return load()
  const names = Object.keys(loaders)
  const near = nearest(name, names)
  const hint = near === undefined ? `There are ${names.join(', ')}.` : `Did you mean '${near}'?`
  throw new PontoonError('USAGE', `there is no command '${name}'. ${hint}`)
}
