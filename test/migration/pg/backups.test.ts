/** Backups go on during a migration: by pg_dump, as a role that owns no more than the application's. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import tap from 'tap'
import { postgres15BinFolder } from '../../../scripts/lib/requirements.ts'
import { bankRows, bankSchema } from '../../support/copy-bank.ts'
import { CopyCommand } from '../../support/copy-command.ts'
import { startPair } from '../../support/migration-pair.ts'

const pgDump = join(postgres15BinFolder, 'pg_dump')
const run = promisify(execFile)

const pair = await startPair({ source: 15, target: 15 })
tap.teardown(() => pair.stop())

await tap.test('the role of the application dumps both sides', async (t) => {
  const db = await pair.database('bank', { schema: bankSchema })
  await db.query('source', bankRows(100))
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())
  const copied = await command.run()
  t.equal(copied.exit, 0, copied.err)
  for (const side of ['source', 'target'] as const) {
    const { stdout } = await run(pgDump, [pair[side].url('bank', 'app', 'app')])
    t.match(stdout, /^COPY public\.account .*(?:\n\d.*){100}\n\\\.$/m, side)
  }
})
