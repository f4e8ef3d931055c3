/**
 * Many idle clients of one sidecar, built and run as its users run it, in bounded resident memory;
 * again, to see that those who left have left nothing. The clients live in a process of their own
 * (fixtures/*idle-clients.ts). PONTOON_SOAK_CLIENTS sets how many.
 */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import tap from 'tap'
import { startChild } from '../support/child-processes.ts'
import type { Child } from '../support/child-processes.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

export const crowdSize = Number(process.env['PONTOON_SOAK_CLIENTS'] ?? 10_000)

const root = fileURLToPath(new URL('../..', import.meta.url))
const laterCrowds = 5

export interface CrowdOptions {
  /** The file in fixtures/ that holds the clients. */
  readonly holder: string
  /** The only entry of `services`, given the port to listen on. */
  readonly service: (port: number) => string
  readonly residentMbMax: number
}

interface Sidecar {
  readonly child: Child
  readonly port: number
  readonly admin: string
}

export async function testCrowd(options: CrowdOptions): Promise<void> {
  tap.setTimeout(900_000)
  await promisify(execFile)('npm', ['run', '--silent', 'build'], { cwd: root })
  const sidecar = await startSidecar(options)
  tap.teardown(async () => {
    if (sidecar.child.isRunning()) process.kill(sidecar.child.pid, 'SIGTERM')
    await sidecar.child.exited
  })
  await tap.test(`${crowdSize} idle clients`, async (t) => {
    const { residentMbMax } = options
    const alone = residentMb(sidecar)
    const first = await crowd(sidecar, options)
    t.ok(
      first < residentMbMax,
      `${first.toFixed(0)} MB, ${alone.toFixed(0)} MB before anybody came`,
    )
    const later: number[] = []
    for (let round = 0; round < laterCrowds; round += 1) later.push(await crowd(sidecar, options))
    // What those who left have left is swept when V8 thinks fit, so single figures may be higher.
    const swept = Math.min(...later.slice(-3))
    const words = `${later.map((mb) => mb.toFixed(0)).join(', ')} MB with later ones`
    t.ok(swept < residentMbMax, words)
    t.comment(`${(((first - alone) / crowdSize) * 1e3).toFixed(1)} kB for each client`)
  })
}

async function startSidecar({ service }: CrowdOptions): Promise<Sidecar> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const configFile = join(tap.testdir({}), 'database.yml')
  writeFileSync(
    configFile,
    `admin: { listen: 127.0.0.1:${adminPort} }\nstate: { file: ./state }\nservices:\n${service(port)}`,
  )
  const child = await withManyFiles([join(root, 'dist/main.js'), 'serve', '--config', configFile])
  child.process.stderr?.resume()
  child.process.stdout?.resume()
  const admin = `http://127.0.0.1:${adminPort}`
  await until(
    async () => (await fetch(`${admin}/health/ready`).catch(() => null))?.status === 200,
    'the sidecar to be ready',
    30_000,
  )
  return { child, port, admin }
}

/** Node in a process that may open a file for each client. */
function withManyFiles(args: readonly string[]): Promise<Child> {
  const shell = [
    '-c',
    `ulimit -n ${crowdSize + 1_000} && exec "$0" "$@"`,
    process.execPath,
    ...args,
  ]
  return startChild('/bin/sh', shell, { stdio: ['pipe', 'pipe', 'pipe'] })
}

function residentMb({ child }: Sidecar): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / 1e6
}

async function idleClients({ admin }: Sidecar): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text()
  return Number(/^pontoon_clients\{[^}]*state="idle"[^}]*\} (\d+)/m.exec(text)?.[1] ?? 0)
}

/** Everybody comes, some ask, everybody leaves. Gives what was resident with all of them there. */
async function crowd(sidecar: Sidecar, { holder }: CrowdOptions): Promise<number> {
  const file = fileURLToPath(new URL(`fixtures/${holder}`, import.meta.url))
  const child = await withManyFiles(['--import=tsx', file, String(sidecar.port), String(crowdSize)])
  let errors = ''
  child.process.stderr?.on('data', (bytes: Buffer) => (errors += bytes.toString()))
  const { stdin, stdout } = child.process
  if (stdin === null || stdout === null) throw new Error('the clients have no pipes')
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const say = async (what: string): Promise<void> => {
    const { value } = await lines.next()
    if (value !== what) throw new Error(`${String(value)} instead of ${what}: ${errors}`)
  }
  await say('ready')
  await until(async () => (await idleClients(sidecar)) === crowdSize, 'all to be idle', 30_000)
  const mb = residentMb(sidecar)
  stdin.write('ask\n')
  await say('asked')
  stdin.end()
  await child.exited
  await until(async () => (await idleClients(sidecar)) === 0, 'all to have left', 30_000)
  return mb
}
