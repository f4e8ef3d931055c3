import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FolderLock } from '../../src/store/folder-lock.ts'
import { lifeOf, ownIdentity } from '../../src/store/process-identity.ts'
import { programArgs } from '../support/program.ts'

const holder = programArgs('test/store/fixtures/lock-holder.ts')

void t.test('one folder has one holder, also within a process', async (test) => {
  const folder = test.testdir({})
  const lock = await FolderLock.acquire(folder)
  await lock.verify()
  await test.rejects(FolderLock.acquire(folder), {
    code: 'STATE_LOCKED',
    message: `held by process ${process.pid}, which is running`,
  })
  await lock.release()
  test.strictSame(readdirSync(folder), [], 'nothing is left behind')
  const next = await FolderLock.acquire(folder)
  await next.release()
})

void t.test(
  'names the process that holds it, and takes over once that was killed',
  async (test) => {
    const folder = test.testdir({})
    const child = await startHolder(folder)
    await test.rejects(FolderLock.acquire(folder), {
      code: 'STATE_LOCKED',
      message: `held by process ${child.pid}, which is running`,
    })
    await kill(child)
    test.ok(existsSync(join(folder, 'lock')), 'the killed process left its lock')
    const lock = await FolderLock.acquire(folder)
    await lock.release()
  },
)

void t.test('a reused pid is not the process that held it', async (test) => {
  const folder = test.testdir({})
  const identity = { ...ownIdentity(), startTicks: '1' }
  writeLock(folder, identity)
  const lock = await FolderLock.acquire(folder)
  await lock.release()
})

void t.test('of many takers of a stale lock, one wins', async (test) => {
  const folder = test.testdir({})
  writeLock(folder, { ...ownIdentity(), startTicks: '1' })
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => FolderLock.acquire(folder)),
  )
  const won = results.filter((result) => result.status === 'fulfilled')
  // Who loses the race learns of it before it writes anything.
  const verified = await Promise.allSettled(won.map(({ value }) => value.verify()))
  test.equal(verified.filter(({ status }) => status === 'fulfilled').length, 1)
  await Promise.all(won.map(({ value }) => value.release()))
  test.strictSame(readdirSync(folder), [])
})

void t.test(
  'a holder that cannot be seen counts as gone once its heartbeat stops',
  async (test) => {
    const folder = test.testdir({})
    writeLock(folder, { ...ownIdentity(), realm: 'another machine' })
    await test.rejects(FolderLock.acquire(folder), {
      code: 'STATE_LOCKED',
      message: /on host elsewhere; if it is gone, the lock is free in \d+ s/,
    })
    age(folder, 11_000)
    const lock = await FolderLock.acquire(folder)
    await lock.release()
  },
)

void t.test('a damaged lock is treated like one of an unseen holder', async (test) => {
  const folder = test.testdir({ lock: 'x' })
  await test.rejects(FolderLock.acquire(folder), { code: 'STATE_LOCKED' })
  age(folder, 11_000)
  const lock = await FolderLock.acquire(folder)
  await lock.release()
})

void t.test('tells the living from the dead', async (test) => {
  test.equal(lifeOf(ownIdentity()), 'alive')
  test.equal(lifeOf({ ...ownIdentity(), pid: 2 ** 30 }), 'dead')
  test.equal(lifeOf({ ...ownIdentity(), realm: 'other' }), 'unknown')
})

function writeLock(folder: string, identity: object): void {
  const content = { ...identity, hostname: 'elsewhere', nonce: 'n' }
  writeFileSync(join(folder, 'lock'), JSON.stringify(content))
}

function age(folder: string, ms: number): void {
  const path = join(folder, 'lock')
  const then = new Date(Date.now() - ms)
  utimesSync(path, then, then)
  readFileSync(path)
}

async function startHolder(folder: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [...holder, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}
