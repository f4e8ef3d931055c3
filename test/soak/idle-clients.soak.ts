/**
 * 10,000 idle clients of one sidecar, built and run as its users run it, in less than 300 MB of
 * resident memory; again, to see that those who left have left nothing. The clients live in a
 * process of their own. PONTOON_SOAK_CLIENTS sets how many.
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
import { startPostgres } from '../support/postgres.ts'

const clients = Number(process.env['PONTOON_SOAK_CLIENTS'] ?? 10_000)
const residentMbMax = 300
const root = fileURLToPath(new URL('../..', import.meta.url))
const holder = fileURLToPath(new URL('fixtures/idle-clients.ts', import.meta.url))

tap.setTimeout(900_000)
await promisify(execFile)('npm', ['run', '--silent', 'build'], { cwd: root })
const server = await startPostgres({ major: 15, auth: 'trust' })
const [port, adminPort] = [await freePort(), await freePort()]
const configFile = join(tap.testdir({}), 'database.yml')
writeFileSync(
  configFile,
  `admin: { listen: 127.0.0.1:${adminPort} }
state: { file: ./state }
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:${port}
    clientAuth: { mode: trust }
    limits: { clientsMax: ${clients + 100} }
    pool: { mode: transaction, size: 20, queueMax: ${clients}, queueTimeoutMs: 60000 }
    source: { host: 127.0.0.1, port: ${server.port}, tls: { mode: disable } }
    target: { host: 127.0.0.1, port: ${await freePort()}, tls: { mode: disable } }
`,
)
const sidecar = await withManyFiles([join(root, 'dist/main.js'), 'serve', '--config', configFile])
sidecar.process.stderr?.resume()
sidecar.process.stdout?.resume()
tap.teardown(async () => {
  if (sidecar.isRunning()) process.kill(sidecar.pid, 'SIGTERM')
  await sidecar.exited
  await server.stop()
})
const admin = `http://127.0.0.1:${adminPort}`
await until(
  async () => (await fetch(`${admin}/health/ready`).catch(() => null))?.status === 200,
  'the sidecar to be ready',
  30_000,
)

/** Node in a process that may open a file for each client. */
function withManyFiles(args: readonly string[]): Promise<Child> {
  const shell = ['-c', `ulimit -n ${clients + 1_000} && exec "$0" "$@"`, process.execPath, ...args]
  return startChild('/bin/sh', shell, { stdio: ['pipe', 'pipe', 'pipe'] })
}

const residentMb = (): number => {
  const status = readFileSync(`/proc/${sidecar.pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / 1e6
}

async function idleClients(): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text()
  return Number(/^pontoon_clients\{[^}]*state="idle"[^}]*\} (\d+)/m.exec(text)?.[1] ?? 0)
}

/** Everybody comes, some ask, everybody leaves. Gives what was resident with all of them there. */
async function crowd(): Promise<number> {
  const child = await withManyFiles(['--import=tsx', holder, String(port), String(clients)])
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
  await until(async () => (await idleClients()) === clients, 'all to be idle', 30_000)
  const mb = residentMb()
  stdin.write('ask\n')
  await say('asked')
  stdin.end()
  await child.exited
  await until(async () => (await idleClients()) === 0, 'all to have left', 30_000)
  return mb
}

await tap.test(`${clients} idle clients`, async (t) => {
  const alone = residentMb()
  const first = await crowd()
  t.ok(first < residentMbMax, `${first.toFixed(0)} MB, ${alone.toFixed(0)} MB before anybody came`)
  const later: number[] = []
  for (let round = 0; round < 5; round += 1) later.push(await crowd())
  // What those who left have left is swept when V8 thinks fit, so single figures may be higher.
  const swept = Math.min(...later.slice(-3))
  t.ok(swept < residentMbMax, `${later.map((mb) => mb.toFixed(0)).join(', ')} MB with later ones`)
  t.comment(`${(((first - alone) / clients) * 1e3).toFixed(1)} kB for each client`)
})
