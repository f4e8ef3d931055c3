/** The order in which test files are run. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lanesOf, longFiles } from '../../../scripts/lib/lanes.ts'

const [first = '', second = ''] = longFiles

void t.test('one lane begins with the long files, and each file is run once', async (test) => {
  const next = lanesOf(['a', second, 'b', first])
  test.same([next(0), next(1), next(2), next(0)], [first, 'a', 'b', second])
  test.same([next(0), next(1)], [undefined, undefined])
})

void t.test('a lane without files of its own helps the other', async (test) => {
  const short = lanesOf(['a', 'b', first])
  test.same([short(0), short(0), short(0)], [first, 'a', 'b'])
  const long = lanesOf([second, first])
  test.same([long(2), long(1), long(0)], [first, second, undefined])
})

void t.test('the long files exist', async (test) => {
  const root = join(import.meta.dirname, '..', '..', '..')
  test.same(
    longFiles.filter((file) => !existsSync(join(root, file))),
    [],
  )
})
