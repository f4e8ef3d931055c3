/**
 * A sidecar in a process of its own that stands still before chosen steps of a switch, so that its
 * parent (switch-sidecar.ts) can break something exactly there: the process itself included.
 */
import { z } from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime } from '../../src/control/runtime.ts'
import { systemClock } from '../../src/shared/clock.ts'

/** `start` once, then `go` whenever it stands; both say where to stand next. */
const orderSchema = z.object({ order: z.enum(['start', 'go']), stops: z.array(z.string()) })

const tell = (message: object): void => void process.send?.(message)
let stops: readonly string[] = []
let go: () => void = () => undefined

process.on('disconnect', () => process.exit(1))
process.on('message', (message) => {
  const { order, stops: next } = orderSchema.parse(message)
  stops = next
  if (order === 'go') go()
  else void start()
})
tell({ is: 'loaded' })

async function start(): Promise<void> {
  const configFile = process.argv[2] ?? ''
  const { config } = loadConfig([configFile], {})
  const log = createLog('warn', { write: (line) => process.stderr.write(line) })
  const configFiles = [configFile]
  const runtime = await startRuntime({ config, configFiles, log, clock: systemClock, beforeStep })
  process.once('SIGTERM', () => void runtime.stop('SIGTERM', 0).then(() => process.exit(0)))
  tell({ is: 'running' })
}

async function beforeStep(step: string): Promise<void> {
  if (!stops.includes(step)) return
  const released = new Promise<void>((resolve) => {
    go = resolve
  })
  tell({ is: 'standing', step })
  await released
}
