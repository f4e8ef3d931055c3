/** The state diagram in docs/architecture.md is the table of legal moves. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { sessionMoves } from '../../../src/proxy/pg/session-state.ts'

void t.test('the diagram shows the moves that the code allows', (test) => {
  const page = readFileSync(new URL('../../../docs/architecture.md', import.meta.url), 'utf8')
  const drawn = [...page.matchAll(/^ {2}(\w+) --> (\w+)$/gm)].map(([, from, to]) => `${from} ${to}`)
  const allowed = Object.entries(sessionMoves).flatMap(([from, tos]) =>
    tos.map((to) => `${from} ${to}`),
  )
  test.ok(allowed.length > 0)
  test.strictSame(drawn.toSorted(), allowed.toSorted())
  test.end()
})
