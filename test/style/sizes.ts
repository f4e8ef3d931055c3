/** Files of at most 500 lines, functions of at most 70. Neighbour: ../style.test.ts. */
import { codeOnly } from './source.ts'
import type { Finding, SourceFile } from './source.ts'

export const fileLinesMax = 500
export const functionLinesMax = 70

export function longFiles(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) => {
    const lines = file.text.trimEnd().split('\n').length
    if (lines <= fileLinesMax) return []
    return [`${file.path} has ${lines} lines, at most ${fileLinesMax}: split it by concept`]
  })
}

export function longFunctions(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) =>
    functionLines(file.text)
      .filter(({ lines }) => lines > functionLinesMax)
      .map(
        ({ line, lines }) =>
          `${file.path}:${line} is a function of ${lines} lines, at most ${functionLinesMax}: ` +
          'keep the branching in the parent and move the leaves out',
      ),
  )
}

interface Frame {
  readonly line: number
  readonly isFunction: boolean
  /** Code of this bracket so far, with every bracket inside it folded to an empty pair. */
  header: string
}

const closers: Readonly<Record<string, string>> = { '(': '()', '[': '[]', '{': '{}' }
const blockKeyword = /\b(?:if|for|while|switch|catch|with|await)\s*\(\)\s*$/
const afterParameters =
  /\(\)\s*(?::\s*[^\s:;=()?](?:(?!\b(?:class|interface|enum|namespace)\b)[^:;=?])*)?$/

/** Every function with a body in braces: where the body begins and how many lines it has. */
export function functionLines(text: string): { line: number; lines: number }[] {
  const found: { line: number; lines: number }[] = []
  const stack: Frame[] = [{ line: 1, isFunction: false, header: '' }]
  let line = 1
  for (const char of codeOnly(text)) {
    const top = stack.at(-1)
    if (top === undefined) break
    if (char === '\n') line += 1
    if (char === '(' || char === '[' || char === '{') {
      stack.push({ line, isFunction: char === '{' && beginsBody(top.header), header: '' })
      top.header += closers[char] ?? ''
    } else if (char === ')' || char === ']' || char === '}') {
      stack.pop()
      if (!top.isFunction) continue
      found.push({ line: top.line, lines: line - top.line + 1 })
      const parent = stack.at(-1)
      if (parent !== undefined) parent.header = ''
    } else {
      top.header = char === ';' ? '' : top.header + char
    }
  }
  return found
}

function beginsBody(header: string): boolean {
  if (/=>\s*$/.test(header)) return true
  // A brace inside a return type: `): Promise<{`.
  if (/[<|&:,]\s*$/.test(header)) return false
  return afterParameters.test(header) && !blockKeyword.test(header)
}
