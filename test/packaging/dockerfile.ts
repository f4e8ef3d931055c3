/** The Dockerfile as stages with their instructions. Neighbours: rehearsal.ts, image.test.ts. */
import { readFileSync } from 'node:fs'
import { Copy, DockerfileParser, Env } from 'dockerfile-ast'
import type { Dockerfile, Instruction } from 'dockerfile-ast'
import { z } from 'zod'

export interface Stage {
  readonly name: string
  /** Image or stage that it builds on, with ARGs put in. */
  readonly from: string
  readonly steps: readonly Step[]
}

export interface Step {
  readonly keyword: string
  /** What stands behind it, continuation lines joined. */
  readonly text: string
  readonly line: number
  /** For COPY: stage it copies from, owner, sources and destination. */
  readonly copy?: CopyStep
  /** Of exec forms. */
  readonly words: readonly string[]
  readonly variables: Readonly<Record<string, string>>
}

export interface CopyStep {
  readonly from: string | undefined
  readonly chown: string | undefined
  readonly sources: readonly string[]
  readonly destination: string
}

/** `["a", "b"]`, alone or behind the options of HEALTHCHECK. */
const execForm = /^(?:.*\bCMD )?(\[".*"\])$/
const strings = z.array(z.string())

export function readStages(file: string): readonly Stage[] {
  const parsed = DockerfileParser.parse(readFileSync(file, 'utf8'))
  const defaults = initialArgs(parsed)
  const stages: { name: string; from: string; steps: Step[] }[] = []
  for (const instruction of parsed.getInstructions()) {
    const keyword = instruction.getKeyword()
    const text = textOf(instruction)
    if (keyword === 'FROM') {
      const [image = '', , name = ''] = text.split(/\s+/)
      const from = image.replace(/^\$\{(\w+)\}$/, (_, arg: string) => defaults.get(arg) ?? '')
      stages.push({ name, from, steps: [] })
    } else {
      stages.at(-1)?.steps.push(toStep(instruction, keyword, text))
    }
  }
  return stages
}

function initialArgs(parsed: Dockerfile): ReadonlyMap<string, string> {
  const pairs = parsed.getInitialARGs().map((arg) => {
    const [name = '', ...value] = textOf(arg).split('=')
    return [name, value.join('=')] as const
  })
  return new Map(pairs)
}

function toStep(instruction: Instruction, keyword: string, text: string): Step {
  const line = instruction.getRange().start.line + 1
  const words = execForm.test(text) ? strings.parse(JSON.parse(text.replace(execForm, '$1'))) : []
  const variables =
    instruction instanceof Env
      ? Object.fromEntries(
          instruction.getProperties().map((one) => [one.getName(), one.getValue() ?? '']),
        )
      : {}
  const step = { keyword, text, line, words, variables }
  return instruction instanceof Copy ? { ...step, copy: toCopy(instruction) } : step
}

function toCopy(instruction: Copy): CopyStep {
  const flags = new Map(instruction.getFlags().map((one) => [one.getName(), one.getValue() ?? '']))
  const paths = instruction.getArguments().map((one) => one.getValue())
  return {
    from: flags.get('from'),
    chown: flags.get('chown'),
    sources: paths.slice(0, -1),
    destination: paths.at(-1) ?? '',
  }
}

function textOf(instruction: Instruction): string {
  return (instruction.getRawArgumentsContent() ?? '').replace(/\\\r?\n\s*/g, '').trim()
}
