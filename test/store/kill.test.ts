/** kill -9 at any moment of a write leaves a state that is whole, and nothing acknowledged lost. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { AuditLog } from '../../src/store/audit-log.ts'
import { FileStore } from '../../src/store/file-store.ts'
import { programArgs } from '../support/program.ts'

const writer = programArgs('test/store/fixtures/state-writer.ts')
const rounds = 5

void t.test('kill -9 during writes', async (test) => {
  const folder = join(test.testdir({}), 'state')
  for (let round = 1; round <= rounds; round += 1) {
    const acknowledged = await writeUntilKilled(folder, 20 + round * 7)
    const store = await FileStore.open(folder)
    const route = store.get('orders')
    test.ok(
      route?.epoch === acknowledged.route || route?.epoch === acknowledged.route + 1,
      `epoch ${route?.epoch} is the acknowledged ${acknowledged.route} or the one under way`,
    )
    test.equal(route?.reads, (route?.epoch ?? 0) === 1 ? 0 : (route?.epoch ?? 0) % 101)
    const audit = await AuditLog.open(folder)
    await audit.append({
      actor: { name: 'test', role: 'system', address: '' },
      action: 'after kill',
      service: null,
      outcome: 'done',
    })
    const [before, last] = (await audit.readLast(3)).slice(-2)
    test.equal(last?.action, 'after kill', 'what follows a torn line is whole')
    test.match(before?.after, { epoch: Number })
    test.ok(epochOf(before?.after) >= acknowledged.audit, 'no acknowledged entry is lost')
    await audit.close()
    await store.close()
  }
})

interface Acknowledged {
  readonly route: number
  readonly audit: number
}

/** Kills the writer once it has acknowledged that many writes. */
async function writeUntilKilled(folder: string, writes: number): Promise<Acknowledged> {
  const child = spawn(process.execPath, [...writer, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text: string) => {
    output += text
    if (output.split('\n').length > writes) child.kill('SIGKILL')
  })
  await once(child, 'close')
  return { route: lastNumber(output, 'route'), audit: lastNumber(output, 'audit') }
}

function lastNumber(output: string, word: string): number {
  const numbers = [...output.matchAll(new RegExp(`^${word} (\\d+)$`, 'gm'))]
  return Number(numbers.at(-1)?.[1] ?? 0)
}

function epochOf(value: unknown): number {
  return typeof value === 'object' && value !== null && 'epoch' in value ? Number(value.epoch) : 0
}
