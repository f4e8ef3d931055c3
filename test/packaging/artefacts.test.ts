/**
 * What users install: the image, as far as it can be had without a Docker daemon, and the npm
 * package. One build serves both: the Dockerfile's steps are carried out in a folder, the result is
 * run as the image would run it, packed, installed into an empty folder and run again.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { startChild } from '../support/child-processes.ts'
import type { Child } from '../support/child-processes.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/pontoon.ts'
import { installPackage } from './package.ts'
import { Rehearsal, lackingForRehearsal } from './rehearsal.ts'

const skip = lackingForRehearsal()
const image = skip === false ? new Rehearsal() : undefined
t.teardown(() => image?.remove())

interface Listening {
  readonly admin: number
  readonly probe: number
  readonly text: string
}

const side = (port: number): string =>
  `{ host: 127.0.0.1, port: ${port}, user: app, password: p, tls: { mode: disable } }`

/** Both databases are away: a sidecar starts all the same. */
async function configuration(state: string): Promise<Listening> {
  const [admin, probe, listen] = [await freePort(), await freePort(), await freePort()]
  const text = `
admin: { listen: 127.0.0.1:${admin} }
probe: { listen: 127.0.0.1:${probe} }
state: { file: ${state} }
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:${listen}
    clientAuth: { mode: trust }
    source: ${side(1)}
    target: ${side(2)}
`
  return { admin, probe, text }
}

void t.test('the image: its steps are carried out, its result runs', { skip }, async (test) => {
  if (image === undefined) throw new Error('no rehearsal')
  await image.build('dependencies')
  await image.build('build')
  test.equal(existsSync(join(image.root('build'), 'app/node_modules/typescript')), false, 'pruned')
  await image.build('sidecar')
  image.provideNode('sidecar')
  const { admin, text } = await configuration('/state')
  mkdirSync(join(image.root('sidecar'), 'config'))
  writeFileSync(join(image.root('sidecar'), 'config/database.yml'), text)
  await test.test('runs as a stranger on a root that cannot be written', (inner) =>
    runSidecar(inner, image, admin),
  )
})

async function runSidecar(test: Test, built: Rehearsal, admin: number): Promise<void> {
  const words = (keyword: string): readonly string[] =>
    built.stage('sidecar').steps.findLast((step) => step.keyword === keyword)?.words ?? []
  const healthcheck = words('HEALTHCHECK')
  const env = { PONTOON_ADMIN: `http://127.0.0.1:${admin}` }
  test.equal((await built.exec('sidecar', healthcheck, env)).exit, 1, 'not healthy before it runs')
  const child = await built.start('sidecar', [...words('ENTRYPOINT'), ...words('CMD')], env)
  test.teardown(() => child.process.kill('SIGKILL'))
  const log = collect(child)
  await until(
    async () => {
      if (!child.isRunning()) throw new Error(`it ended: ${log()}`)
      return (await built.exec('sidecar', healthcheck, env)).exit === 0
    },
    'healthy',
    60_000,
  )
  test.match(log(), /"pid":1\b/, 'it is process 1')
  const shell = (command: string): Promise<{ exit: number; stdout: string }> =>
    built.exec('sidecar', ['/bin/sh', '-c', command])
  test.match(await shell('id -u'), { stdout: '65532\n' })
  test.not((await shell('touch /app/x')).exit, 0, 'the root cannot be written')
  test.equal((await shell('ls /state')).stdout.includes('lock'), true, 'the state folder can')
  for (const pid of childrenOf(child.pid)) process.kill(pid, 'SIGTERM')
  test.equal(await child.exited, 0, 'process 1 hears SIGTERM')
}

/** unshare stands between us and the process that is number 1 inside. */
function childrenOf(pid: number): readonly number[] {
  const text = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return text
    .split('\n')
    .map(Number)
    .filter((one) => one > 0)
}

const isApt = ({ text }: { text: string }): boolean => text.includes('apt-get')

void t.test('the migrator: its packages exist, its command runs', { skip }, async (test) => {
  if (image === undefined) throw new Error('no rehearsal')
  await image.build('migrator', isApt)
  const apt = image.stage('migrator').steps.find(isApt)?.text ?? ''
  const packages = (/--no-install-recommends ([a-z0-9 -]+)/.exec(apt)?.[1] ?? '').trim().split(' ')
  test.same(packages, ['awscli', 'ca-certificates', 'openssl', 'postgresql-client', 'redis-tools'])
  if (existsSync('/usr/bin/apt-get')) simulateInstall(packages)
  const help = await image.exec('migrator', ['pontoon', 'help'])
  test.match(help, { exit: 0, stdout: /Usage: pontoon/ })
})

/** Throws when Debian does not have one of them. */
function simulateInstall(packages: readonly string[]): void {
  const simulate = (): void => {
    execFileSync('apt-get', ['install', '--simulate', '-qq', ...packages], { stdio: 'pipe' })
  }
  try {
    simulate()
  } catch {
    // A new machine has no package lists yet.
    execFileSync('apt-get', ['update', '-qq'], { stdio: 'pipe' })
    simulate()
  }
}

void t.test('the npm package installs into an empty folder and runs', async (test) => {
  const dist = image === undefined ? undefined : join(image.root('build'), 'app/dist')
  const installed = await installPackage(dist)
  test.teardown(() => installed.remove())
  test.same(new Set(installed.files.map((path) => path.split('/')[0])), new Set(topLevel))
  test.ok(installed.bytes < 3_000_000, `${installed.bytes} bytes`)
  const bin = join(installed.folder, 'node_modules/.bin/pontoon')
  test.equal(statSync(bin).mode & 0o111, 0o111, 'the command can be executed')
  const { probe, text } = await configuration('./state')
  const config = join(installed.folder, 'pontoon.yml')
  writeFileSync(config, text)
  const checked = execFileSync(bin, ['check', '--offline', '--config', config], {
    encoding: 'utf8',
  })
  test.match(checked, /valid, service orders/)
  const child = await startChild(bin, ['serve', '--config', config], {
    env: process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  test.teardown(() => child.process.kill('SIGKILL'))
  const log = collect(child)
  const ready = async (): Promise<boolean> => {
    if (!child.isRunning()) throw new Error(`it ended: ${log()}`)
    const answer = await fetch(`http://127.0.0.1:${probe}/health/ready`).catch(() => undefined)
    return answer?.status === 200
  }
  await until(ready, 'ready', 60_000)
  child.process.kill('SIGTERM')
  test.equal(await child.exited, 0)
})

const topLevel = ['LICENSE', 'README.md', 'config', 'dist', 'docs', 'package.json']

function collect(child: Child): () => string {
  let text = ''
  for (const stream of [child.process.stdout, child.process.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      text += bytes.toString()
    })
  }
  return () => text
}
