/** The second act: definitions, rows and every change since reach the target; nobody notices. */
import { setApplicationPassword } from './databases.ts'
import { applicationRole } from './schema.ts'
import { heading, meanwhile, operate } from './stage.ts'
import type { Stage } from './stage.ts'

export async function move(stage: Stage): Promise<void> {
  await act(stage, 'schema', 'roles and definitions come to the target, which is then fenced', [
    ['schema', 'orders'],
  ])
  stage.view.say(`$ psql postgres -c "ALTER ROLE ${applicationRole} PASSWORD '…'"  # on the target`)
  await setApplicationPassword(stage.databases)
  await act(stage, 'copy', 'all rows, in one snapshot that replication goes on from', [
    ['copy', 'orders'],
    ['schema', 'orders', '--post-data'],
  ])
  await act(stage, 'sync', 'every change since, by logical replication', [['sync', 'orders']])
  await act(stage, 'verify', 'both sides compared row by row while they are in use', [
    ['verify', 'orders'],
  ])
}

async function act(
  stage: Stage,
  name: string,
  what: string,
  commands: readonly (readonly string[])[],
): Promise<void> {
  heading(stage.view, name, what)
  const [, experience] = await stage.application.during(async () => {
    for (const command of commands) await operate(stage, command)
  })
  stage.view.say(meanwhile(experience))
}
