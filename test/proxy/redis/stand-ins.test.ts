/** What Pontoon says in the middle of what the server says. */
import t from 'tap'
import { StandInReader, StandIns } from '../../../src/proxy/redis/stand-ins.ts'
import { bulkReply } from '../../../src/wire/redis/write.ts'

/** What the server says to the ECHO that is sent to it. */
function saidTo(request: Buffer): Buffer {
  const [, , , , word = ''] = request.toString().split('\r\n')
  return bulkReply(word)
}

await t.test('a stand-in is found wherever what the server says is cut', (test) => {
  const before = Buffer.from('+OK\r\n$4\r\n$45\r\r\n*2\r\n')
  const after = Buffer.from('$45\r\npontoon-\r\n$3\r\n$45\r\n')
  const { length } = saidTo(new StandIns().add(() => null))
  const total = before.length + 2 * length + after.length
  for (let cut = 0; cut <= total; cut += 1)
    for (const step of [1, total]) {
      const standIns = new StandIns()
      const [one, other] = [standIns.add(() => Buffer.from('<1>')), standIns.add(() => null)]
      const said = Buffer.concat([before, saidTo(one), saidTo(other), after])
      let heard = ''
      const reader = new StandInReader(standIns, false, (bytes, start, end) => {
        heard += bytes.toString('latin1', start, end)
      })
      reader.pass(said, 0, cut)
      for (let at = cut; at < total; at += step) reader.pass(said, at, Math.min(at + step, total))
      const shown = `${before.toString()}<1>${after.toString()}`
      if (heard !== shown) test.equal(heard, shown, `cut at ${cut}, steps of ${step}`)
    }
  test.end()
})

await t.test('what only looks like the beginning of one is given in the end', (test) => {
  const standIns = new StandIns()
  standIns.add(() => null)
  const said = Buffer.from('$3\r\n$45\r\n')
  let heard = ''
  const reader = new StandInReader(standIns, false, (bytes, start, end) => {
    heard += bytes.toString('latin1', start, end)
  })
  reader.pass(said, 0, said.length)
  test.equal(heard, '$3\r\n', 'it may go on')
  reader.end()
  test.equal(heard, said.toString())
  test.end()
})

await t.test('what was not said is not waited for', (test) => {
  const standIns = new StandIns()
  standIns.add(() => Buffer.from('<1>'))
  const second = saidTo(standIns.add(() => Buffer.from('<2>')))
  let heard = ''
  const reader = new StandInReader(standIns, false, (bytes, start, end) => {
    heard += bytes.toString('latin1', start, end)
  })
  for (const said of [second, second]) reader.pass(said, 0, said.length)
  test.equal(heard, `<2>${second.toString()}`, 'each once')
  test.notOk(standIns.areOwed)
  test.end()
})
