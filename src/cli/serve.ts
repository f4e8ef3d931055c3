/** pontoon serve: runs the sidecar until a signal ends it. */
import { loadConfig } from '../config/load.ts'
import type { ProcessLog } from '../control/logging.ts'
import type { Runtime } from '../control/runtime.ts'
import { version } from '../control/version.ts'
import { systemClock } from '../shared/clock.ts'
import { toPontoonError } from '../shared/errors.ts'
import { configFilesOf, configOption } from './config-files.ts'
import { exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode } from './command.ts'

export const serve: Command = {
  name: 'serve',
  summary: 'Run the sidecar.',
  details:
    'SIGTERM and SIGINT end it: it takes no new clients, lets running transactions end for at\n' +
    'most drainTimeoutMs and exits with 0; a second signal ends it at once, with 1.\n' +
    'SIGHUP takes the configuration again; what needs a restart is named in the log.',
  positionals: [],
  options: configOption,
  examples: [
    'pontoon serve --config config/database.yml',
    'pontoon serve --config base.yml --config production.yml',
  ],
  run,
}

async function run({ args, output, env }: CommandInput): Promise<ExitCode> {
  const configFiles = configFilesOf(args)
  const { config, warnings } = loadConfig(configFiles, env)
  // Loaded here, because the other commands should start fast without them.
  const { createLog } = await import('../control/logging.ts')
  const { startRuntime } = await import('../control/runtime.ts')
  const log = createLog(config.log.level)
  endOnBugs(log)
  for (const warning of warnings) log.warn({}, warning)
  log.info({ version, node: process.version, configFiles, pid: process.pid }, 'starting')
  const runtime = await startRuntime({
    config,
    configFiles,
    log,
    clock: systemClock,
  })
  const { adminAddress, probeAddress } = runtime
  log.info({ adminAddress, probeAddress, services: [...runtime.services.keys()] }, 'ready')
  if (output.json) output.result({ adminAddress, probeAddress, pid: process.pid }, () => '')
  return await untilSignal(runtime, log)
}

/** A bug leaves state that nobody can vouch for: say it in the log and end. */
function endOnBugs(log: ProcessLog): void {
  const end = (error: unknown): void => {
    log.error({ err: error }, 'a bug in Pontoon ended the sidecar; please report it')
    process.exit(exitCodes.failed)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}

/** Resolves with the exit code once everything is closed. */
async function untilSignal(runtime: Runtime, log: ProcessLog): Promise<ExitCode> {
  return await new Promise((resolve) => {
    let stopping = false
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) {
        log.warn({ signal }, 'second signal: ending at once, running transactions are lost')
        process.exit(exitCodes.failed)
      }
      stopping = true
      // How it ends is told below.
      runtime.stop(signal).catch(() => undefined)
    }
    // A console may stop it too.
    runtime.stopped.then(
      () => resolve(exitCodes.ok),
      (error: unknown) => {
        log.error({ err: error }, 'the sidecar did not stop well')
        resolve(exitCodes.failed)
      },
    )
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
    process.on('SIGHUP', () => {
      if (stopping) return
      runtime.reload('SIGHUP').catch((thrown: unknown) => {
        const { code, message } = toPontoonError(thrown)
        log.error({ code }, `the configuration was not reloaded, nothing has changed: ${message}`)
      })
    })
  })
}
