/** The state diagrams in docs/architecture.md are the tables of legal moves. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { sessionMoves } from '../../../src/proxy/pg/session-state.ts'
import { sessionMoves as redisSessionMoves } from '../../../src/proxy/redis/session.ts'

const page = readFileSync(new URL('../../../docs/architecture.md', import.meta.url), 'utf8')
const [postgres = '', redis = ''] = page.split('\n## Redis\n')

type Moves = Readonly<Record<string, readonly string[]>>

const diagrams: readonly (readonly [name: string, text: string, moves: Moves])[] = [
  ['PostgreSQL', postgres, sessionMoves],
  ['Redis', redis, redisSessionMoves],
]

for (const [name, text, moves] of diagrams) {
  void t.test(`the diagram of ${name} shows the moves that the code allows`, (test) => {
    const drawn = [...text.matchAll(/^ {2}(\w+) --> (\w+)$/gm)].map(
      ([, from, to]) => `${from} ${to}`,
    )
    const allowed = Object.entries(moves).flatMap(([from, tos]) => tos.map((to) => `${from} ${to}`))
    test.ok(allowed.length > 0)
    test.strictSame(drawn.toSorted(), allowed.toSorted())
    test.end()
  })
}
