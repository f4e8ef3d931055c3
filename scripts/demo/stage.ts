/** What every act of the demo works with, and how it has a command run. */
import type { Ended } from '../processes.ts'
import type { Application, Experience } from './application.ts'
import type { Databases } from './databases.ts'
import type { DemoOptions } from './options.ts'
import type { Sidecar } from './sidecar.ts'
import type { View } from './view.ts'

export interface Stage {
  readonly databases: Databases
  readonly sidecar: Sidecar
  readonly application: Application
  readonly options: DemoOptions
  readonly view: View
  readonly signal: AbortSignal
}

/** Shows the command, runs it and shows what it printed. Throws when it fails. */
export async function operate(
  stage: Stage,
  args: readonly string[],
  show: (stdout: string) => string = (stdout) => stdout,
): Promise<void> {
  stage.view.say(`$ pontoon ${args.join(' ')}`)
  const { stdout } = await mustSucceed(stage, args)
  stage.view.say(indent(show(stdout)))
}

/** The result of a command with --json. Throws when it fails. */
export async function ask(stage: Stage, args: readonly string[]): Promise<unknown> {
  const { stdout } = await mustSucceed(stage, [...args, '--json'])
  return JSON.parse(stdout)
}

async function mustSucceed({ sidecar, signal }: Stage, args: readonly string[]): Promise<Ended> {
  const ended = await sidecar.command(args, signal)
  if (ended.code === 0) return ended
  const words = `${ended.stdout}${ended.stderr}`.trim()
  throw new Error(`pontoon ${args.join(' ')}: exit code ${ended.code}\n${words}`)
}

export function heading(view: View, name: string, what: string): void {
  view.say(`\n── ${name}: ${what}`)
}

export function meanwhile({ requests, errors, longestGapMs }: Experience): string {
  return (
    `  the shop meanwhile: ${requests} requests, ${errors} errors, ` +
    `longest wait of any client ${Math.round(longestGapMs)} ms`
  )
}

export function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`.trimEnd())
    .join('\n')
}
