/** The connections and settings that work on sync needs, for the direction that is in force. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Side } from '../../../shared/side.ts'
import { readMark, type Mark } from '../control-schema.ts'
import { isFenced } from '../fence.ts'
import type { Direction } from '../names.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'

export interface SyncJob {
  readonly context: MigrationContext
  readonly service: string
  /** From the primary side to the other. */
  readonly direction: Direction
  readonly exclude: readonly string[]
  /** As the control role. */
  readonly sender: SqlClient
  readonly receiver: SqlClient
  /** Why nothing may be changed now; null when it may: a switch turns sync round itself. */
  readonly switchUnderWay: string | null
  /** As the replication role, which owns slot and subscription; logs in when first asked for. */
  senderOwner(): Promise<SqlClient>
  receiverOwner(): Promise<SqlClient>
  close(): void
}

export function sendingSide(direction: Direction): Side {
  return direction === 'forward' ? 'source' : 'target'
}

export function receivingSide(direction: Direction): Side {
  return direction === 'forward' ? 'target' : 'source'
}

/** Rejects as login() does; the mark of the source says which side is primary. */
export async function openSyncJob(context: MigrationContext): Promise<SyncJob> {
  const opened: SqlClient[] = []
  const close = (): void => {
    for (const client of opened) client.close()
  }
  const connect = async (side: Side, purpose: 'control' | 'replication'): Promise<SqlClient> => {
    const client = await connectAs(context, { side, purpose, task: `sync ${context.service}` })
    opened.push(client)
    return client
  }
  try {
    const source = await connect('source', 'control')
    const target = await connect('target', 'control')
    const marks = { source: await readMark(source), target: await readMark(target) }
    const mark = marks.source ?? marks.target
    const direction = mark?.primary === 'target' ? 'reverse' : 'forward'
    const controls = { source, target }
    return {
      context,
      service: context.service,
      direction,
      exclude: context.config.migration.exclude,
      switchUnderWay: await switchUnderWay(marks, controls),
      sender: controls[sendingSide(direction)],
      receiver: controls[receivingSide(direction)],
      senderOwner: once(() => connect(sendingSide(direction), 'replication')),
      receiverOwner: once(() => connect(receivingSide(direction), 'replication')),
      close,
    }
  } catch (error) {
    close()
    throw error
  }
}

/** A side that takes the writes is fenced only within a switch, and marks differ only there. */
async function switchUnderWay(
  marks: Readonly<Record<Side, Mark | undefined>>,
  controls: Readonly<Record<Side, SqlClient>>,
): Promise<string | null> {
  const { source, target } = marks
  const primary = (source ?? target)?.primary
  const differ = source !== undefined && target !== undefined && source.primary !== target.primary
  if (!differ && (primary === undefined || !(await isFenced(controls[primary])))) return null
  return switchUnderWayText
}

export const switchUnderWayText =
  'a switch is under way, or was interrupted, and turns sync round itself: pontoon status ' +
  'shows it, and a sidecar that starts finishes it'

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
