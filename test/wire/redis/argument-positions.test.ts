import { array, assert, nat, property, uint8Array } from 'fast-check'
import tap from 'tap'
import { ArgumentPositions } from '../../../src/wire/redis/argument-positions.ts'
import { encodeCommand } from '../../support/resp.ts'

await tap.test('finds what was encoded, one command after the other', async (t) => {
  const positions = new ArgumentPositions()
  const word = uint8Array({ maxLength: 30 })
  assert(
    property(array(word, { minLength: 1, maxLength: 40 }), nat(9), (words, before) => {
      const command = encodeCommand(...words.map((bytes) => Buffer.from(bytes)))
      const bytes = Buffer.concat([
        Buffer.alloc(before),
        command,
        Buffer.from('*1\r\n$4\r\nPING\r\n'),
      ])
      positions.read(bytes, before, before + command.length)
      return (
        positions.count === words.length &&
        words.every((expected, index) => {
          const found = bytes.subarray(positions.starts[index], positions.ends[index])
          return found.equals(expected)
        })
      )
    }),
  )
  positions.read(Buffer.from('*0\r\n'), 0, 4)
  t.equal(positions.count, 0)
})
