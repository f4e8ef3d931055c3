/** The shared listener with servers that do not answer, and a primary that moves meanwhile. */
import { connect, createServer, type Socket } from 'node:net'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { ReportedIntern } from '../../../src/net/pg/reported.ts'
import { PgServer } from '../../../src/net/pg/server.ts'
import { SharedListener, type ListenSubscriber } from '../../../src/proxy/pg/shared-listener.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { listenLocally } from '../../support/listen.ts'
import { commandComplete, notificationResponse, readyForQuery } from '../../support/pg-backend.ts'
import { until } from '../../support/pontoon.ts'

const noTls = {
  mode: 'disable',
  negotiation: 'postgres',
  channelBinding: 'disable',
  options: {},
} as const

const answer = Buffer.concat([commandComplete('LISTEN'), readyForQuery()])

/** Logged-in servers of which those answer that `answers` allows, by order of opening. */
class Bench {
  now = 1_000
  opened = 0
  readonly sockets = new Set<Socket>()
  readonly listener: SharedListener
  listening = 0
  readonly subscriber: ListenSubscriber = {
    onListening: () => (this.listening += 1),
    onNotification: () => undefined,
    onLost: () => undefined,
    onMark: () => undefined,
    onMarksLost: () => undefined,
    onGap: () => undefined,
  }

  constructor(port: number) {
    const clock = { nowMs: () => this.now, wallMs: () => this.now }
    const flushes = new FlushQueue()
    this.listener = new SharedListener(
      {
        open: async (_kind, idleHandler) => {
          this.opened += 1
          const socket = connect({ port, host: '127.0.0.1' })
          await new Promise((resolve) => socket.once('connect', resolve))
          const secret = Buffer.alloc(4)
          return new PgServer(
            {
              socket,
              dialled: null,
              pid: 1,
              secret,
              reported: new Map(),
              notices: [],
              isOverSpare: false,
            },
            {
              side: 'source',
              endpoint: { host: '127.0.0.1', port },
              tls: () => noTls,
              clock,
              flushes,
              reportedIntern: new ReportedIntern(),
              idleHandler,
            },
          )
        },
        primary: () => 'source',
        clock,
        log: silentLog,
      },
      'user',
      'database',
    )
  }
}

async function benchOf(test: Test, answers: (connection: number) => boolean): Promise<Bench> {
  let connections = 0
  const server = createServer()
  const bench = new Bench(await listenLocally(server))
  server.on('connection', (socket: Socket) => {
    const isAnswering = answers(connections)
    connections += 1
    bench.sockets.add(socket)
    socket.on('close', () => bench.sockets.delete(socket))
    // A Query comes in one piece with others.
    socket.on('data', (bytes: Buffer) => {
      if (!isAnswering) return
      for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
        const sql = bytes.toString('latin1', at + 5, at + bytes.readInt32BE(at + 1))
        const [, channel, payload] = /^NOTIFY "(.*)", E'(.*)'$/.exec(sql) ?? []
        if (channel !== undefined && payload !== undefined)
          for (const one of bench.sockets) one.write(notificationResponse(1, channel, payload))
        socket.write(answer)
      }
    })
  })
  test.teardown(() => {
    bench.listener.close()
    for (const socket of bench.sockets) socket.destroy()
    server.close()
  })
  return bench
}

void t.test('a server that does not answer LISTEN is given up for another one', async (test) => {
  const bench = await benchOf(test, (connection) => connection > 0)
  const { listener } = bench
  test.notOk(listener.join(bench.subscriber, ['a']))
  await until(() => bench.sockets.size === 1, 'the first connection')
  bench.now += 10_000
  listener.sweep(bench.now)
  test.equal(bench.sockets.size, 1, 'it has ten seconds')
  bench.now += 1
  listener.sweep(bench.now)
  await until(() => bench.listening === 1, 'it listens over the second')
  await until(() => bench.sockets.size === 1, 'and the first is closed')
  test.equal(bench.opened, 2)
})

void t.test('one renewed while it waits to try again opens one connection', async (test) => {
  const bench = await benchOf(test, (connection) => connection !== 1)
  const { listener } = bench
  listener.join(bench.subscriber, ['a'])
  await until(() => bench.listening === 1, 'it listens')
  listener.renew()
  await until(() => bench.sockets.size === 2, 'the second connection')
  mock.timers.enable({ apis: ['setTimeout'] })
  test.teardown(() => mock.timers.reset())
  // Lost: another attempt is due in a moment.
  bench.now += 10_001
  listener.sweep(bench.now)
  listener.renew()
  test.equal(bench.opened, 3)
  mock.timers.tick(60_000)
  test.equal(bench.opened, 3, 'the attempt that was due is not made as well')
  mock.timers.reset()
  await until(() => bench.sockets.size === 1, 'only the third is left')
})
