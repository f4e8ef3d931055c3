/** Startup packets are remembered as they were read, and nothing else is. */
import t from 'tap'
import { StartupPackets } from '../../../src/proxy/pg/startup-packets.ts'
import { readStartupPacket } from '../../../src/wire/pg/read.ts'
import { cancelRequest, startup } from '../../support/pg-frontend.ts'

const body = (packet: Buffer): Buffer => packet.subarray(4)

void t.test('the same packet is the same object, whatever buffer it came in', (test) => {
  const packets = new StartupPackets()
  const packet = body(startup({ user: 'anna', database: 'orders', TimeZone: 'UTC', Ü: 'é' }))
  const buffer = Buffer.from(packet)
  const first = packets.read(buffer)
  buffer.fill(0x78)
  test.equal(packets.read(packet), first)
  test.strictSame(first, readStartupPacket(packet))
  if (first.kind !== 'startup') throw new Error('a startup packet')
  const settings = packets.settings(first.parameters)
  test.strictSame([...settings.settings.keys()], ['timezone', 'ü'])
  test.equal(packets.settings(first.parameters), settings)
  test.not(packets.read(body(startup({ user: 'anna', database: 'order' }))), first)
  test.end()
})

void t.test('many different ones, and long ones', (test) => {
  const packets = new StartupPackets()
  const first = packets.read(body(startup({ user: 'u0' })))
  for (let index = 1; index < 500; index += 1) {
    const packet = body(startup({ user: `u${index}` }))
    test.strictSame(packets.read(packet), readStartupPacket(packet))
  }
  test.not(packets.read(body(startup({ user: 'u0' }))), first, 'forgotten')
  const long = body(startup({ user: 'anna', options: `-c a=${'b'.repeat(2_000)}` }))
  test.not(packets.read(long), packets.read(long))
  test.strictSame(packets.read(long), readStartupPacket(long))
  test.end()
})

void t.test('a cancel request, which is secret, and a broken packet are not kept', (test) => {
  const packets = new StartupPackets()
  const cancel = body(cancelRequest(5, Buffer.alloc(4, 7)))
  test.not(packets.read(cancel), packets.read(cancel))
  const broken = Buffer.concat([body(startup({ user: 'anna' })), Buffer.alloc(1)])
  for (let time = 0; time < 2; time += 1)
    test.throws(() => packets.read(broken), { code: 'CLIENT_PROTOCOL' })
  test.end()
})
