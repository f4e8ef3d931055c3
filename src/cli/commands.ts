/** Every command, in the order in which an operator meets them. */
import { abort } from './abort.ts'
import { check } from './check.ts'
import type { Command } from './command.ts'
import { copy } from './copy.ts'
import { cutover } from './cutover.ts'
import { health } from './health.ts'
import { createHelp } from './help-command.ts'
import { init } from './init-command.ts'
import { pause } from './pause.ts'
import { phase } from './phase.ts'
import { reconnect } from './reconnect.ts'
import { resume } from './resume.ts'
import { rollback } from './rollback.ts'
import { schema } from './schema.ts'
import { serve } from './serve.ts'
import { shift } from './shift.ts'
import { status } from './status.ts'
import { sync } from './sync.ts'
import { verify } from './verify.ts'
import { version } from './version.ts'

export const commands: readonly Command[] = [
  init,
  check,
  serve,
  schema,
  copy,
  status,
  shift,
  phase,
  pause,
  resume,
  reconnect,
  sync,
  verify,
  cutover,
  rollback,
  abort,
  health,
  version,
  createHelp(() => commands),
]
