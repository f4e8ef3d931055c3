/** What is still being written goes too. */
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tap from 'tap'
import { startChild } from './child-processes.ts'
import { removeFolder } from './remove-folder.ts'
import { until } from './until.ts'

await tap.test('a folder in which a process writes goes as soon as that ends', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-remove-'))
  const inner = join(folder, 'inner')
  mkdirSync(inner)
  const script = `
    const { writeFileSync } = require('node:fs')
    const endMs = Date.now() + 2_500
    for (let n = 0; Date.now() < endMs; n += 1)
      try { writeFileSync(process.argv[1] + '/' + (n % 500), '') } catch {}`
  const writer = await startChild(process.execPath, ['-e', script, inner], { stdio: 'ignore' })
  await until(() => existsSync(join(inner, '9')), 'it writes')
  await removeFolder(folder)
  t.notOk(existsSync(folder))
  await writer.exited
})
