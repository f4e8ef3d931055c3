/** Where a request ends that is taken out of what a session holds, and where that cannot be told. */
import t from 'tap'
import { requestEnd } from '../../../src/proxy/pg/request-end.ts'
import {
  bind,
  copyData,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'

const batch = [parse('SELECT 1'), bind(), flush(), execute()]
const call = message('F', int32(89), int16(0), int16(0), int16(0))
const next = query('SELECT 2')

/** Messages of the request, what comes behind it, and whether its end is known. */
const cases: readonly (readonly [
  name: string,
  request: readonly Buffer[],
  rest: readonly Buffer[],
  isKnown: boolean,
])[] = [
  ['a Query', [query('SELECT 1')], [next], true],
  ['a function call', [call], [next], true],
  ['a batch', [...batch, sync()], [next, sync()], true],
  ['a batch with COPY data', [...batch, copyData('1\n'), sync()], [next], true],
  ['a batch without Sync', batch, [], false],
  ['a Query amid a batch, which the server would not read', batch, [next, sync()], false],
  ['a function call amid a batch', batch, [call, sync()], false],
  ['a length that cannot be', [message('P').fill(0xff, 1)], [sync()], false],
  ['nothing', [], [], false],
]

for (const [name, request, rest, isKnown] of cases) {
  void t.test(`${name}, cut anywhere`, (test) => {
    const bytes = Buffer.concat([...request, ...rest])
    const end = Buffer.concat(request).length
    for (let length = 0; length <= bytes.length; length += 1)
      test.equal(requestEnd(bytes.subarray(0, length)), isKnown && length >= end ? end : 0)
    test.end()
  })
}
