/** How many test files are run at a time. */
import t from 'tap'
import { jobCount } from '../../../scripts/lib/job-count.ts'

void t.test('two files a core where processes are cheap, fewer where they are dear', (test) => {
  test.equal(jobCount(2, 1), 4)
  test.equal(jobCount(2, 7), 3)
  test.equal(jobCount(1, 7), 2)
  test.equal(jobCount(64, 1), 8, 'more were not tried')
  test.ok([3, 4].includes(jobCount(2)), 'measured here')
  test.end()
})
