/** What a server says to a pipeline, byte for byte, to be held against what another one says. */
import { connectRedis } from './redis-wire.ts'
import { encodeCommand } from './resp.ts'
import { until } from './until.ts'

const done = '$4\r\ndone\r\n'

/** What MONITOR shows has the time in it, and what others do; HELLO tells the id of the client. */
export function withoutWhatDiffers(said: string): string {
  const [monitored, id] = [/^\+\d+\.\d+ \[.*\r\n/gm, /(\$2\r\nid\r\n:)\d+/g]
  return said.replaceAll(monitored, '').replaceAll(id, '$1')
}

/** All that comes, but for what differs, for the commands of `pipeline`, parted by `|` and sent in one write. */
export async function repliesTo(port: number, version: number, pipeline: string): Promise<string> {
  const wire = await connectRedis({ port })
  if (version === 3) await wire.call('HELLO', 3)
  const lines = [...pipeline.split('|'), 'PING done']
  wire.raw(Buffer.concat(lines.map((line) => encodeCommand(...line.split(' ')))))
  await until(() => wire.isClosed || wire.unread.includes(done), `${pipeline} ends`)
  const text = wire.unread.toString('latin1')
  wire.destroy()
  return withoutWhatDiffers(text)
}
