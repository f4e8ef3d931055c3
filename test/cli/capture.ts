/** Runs a command line in this process and keeps what it prints. */
import { runCommandLine } from '../../src/cli/run.ts'

export interface Captured {
  readonly exit: number
  readonly out: string
  readonly err: string
  /** The result of --json. */
  readonly json: Record<string, unknown>
}

export async function pontoon(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Captured> {
  let out = ''
  let err = ''
  const exit = await runCommandLine(args, env, {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { exit, out, err, json: parseObject(out) }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const parsed: Record<string, unknown> = JSON.parse(text)
    return parsed
  } catch {
    return {}
  }
}
