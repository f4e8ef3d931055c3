/** The connections and settings that work on sync needs, for the direction that is in force. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Side } from '../../../shared/side.ts'
import { readMark } from '../control-schema.ts'
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
    const mark = (await readMark(source)) ?? (await readMark(target))
    const direction = mark?.primary === 'target' ? 'reverse' : 'forward'
    const controls = { source, target }
    return {
      context,
      service: context.service,
      direction,
      exclude: context.config.migration.exclude,
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

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
