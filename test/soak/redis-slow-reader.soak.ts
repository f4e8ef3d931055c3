/** A value of 500 MB, read slowly through a sidecar as its users run it. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import tap from 'tap'
import { startRedis } from '../support/redis.ts'
import { readSlowly } from '../support/slow-reader.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

tap.setTimeout(900_000)
await promisify(execFile)('npm', ['run', '--silent', 'build'], { cwd: root })
const redis = await startRedis()
tap.teardown(() => redis.stop())

await tap.test('a slow reader of 500 MB', async (t) => {
  const report = await readSlowly({
    redis,
    folder: t.testdir({}),
    command: [join(root, 'dist/main.js')],
    valueBytes: 500_000_000,
    stepBytes: 256 * 1024,
    restMs: 10,
  })
  t.comment(JSON.stringify(report))
  t.equal(report.isWhole, true)
  t.ok(report.grownBytes < 64 * 1024 * 1024, `grown by ${report.grownBytes} bytes`)
  t.ok(report.slowestOtherMs < 2_000, `the slowest other in ${report.slowestOtherMs} ms`)
})
