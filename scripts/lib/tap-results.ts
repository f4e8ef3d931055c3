/**
 * Reads TAP, line by line: counts the points that are not themselves sums of others, names the
 * files as they finish and shows failures readably. Pure but for the `print` it is given.
 * Neighbour: run-files.ts.
 */

export interface TapCounts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

interface Level {
  name: string
  /** Whether a subtest was opened here whose sum is still to come. */
  open: boolean
  readonly failedBefore: number
}

const pointPattern = /^( *)(not ok|ok)\b(?: \d+)?(?: - (.*))?$/
const subtestPattern = /^( *)# Subtest: (.*)$/
const directivePattern = /\s+# (skip|todo)\b/i
/** Times are of no interest where nothing ran. */
const skipNoisePattern = /\s+# (?:time=\S+|skip)/gi

export class TapResults {
  readonly #print: (line: string) => void
  readonly #levels: Level[] = []
  readonly #files = new Set<string>()
  #passed = 0
  #failed = 0
  #skipped = 0
  /** The indentation of the diagnostics that are being read, and whether to show them. */
  #diagnostics: { indent: number; show: boolean } | undefined
  #lastPoint: { indent: number; failed: boolean } | undefined

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  get counts(): TapCounts {
    return { passed: this.#passed, failed: this.#failed, skipped: this.#skipped }
  }

  /** A file that was asked for and never reported counts as failed. */
  end(files: readonly string[]): void {
    for (const file of files) {
      if (this.#files.has(file)) continue
      this.#failed += 1
      this.#print(`not ok ${file} > did not report`)
    }
  }

  /** What belongs to the file that was just summed up. */
  note(lines: readonly string[]): void {
    for (const line of lines) if (line !== '') this.#print(`    ${line}`)
  }

  line(text: string): void {
    if (this.#inDiagnostics(text)) return
    const subtest = subtestPattern.exec(text)
    if (subtest !== null) return this.#begin(indentOf(subtest[1]), subtest[2] ?? '')
    const point = pointPattern.exec(text)
    if (point !== null) return this.#point(indentOf(point[1]), point[2] === 'ok', point[3] ?? '')
    if (text.trimStart().startsWith('Bail out!')) {
      this.#failed += 1
      this.#print(text.trim())
    }
  }

  #inDiagnostics(text: string): boolean {
    const blank = text.length - text.trimStart().length
    if (this.#diagnostics !== undefined) {
      const { indent, show } = this.#diagnostics
      if (blank === indent && text.trim() === '...') this.#diagnostics = undefined
      else if (show && text.trim() !== '') this.#print(`    ${text.slice(indent)}`)
      return true
    }
    const last = this.#lastPoint
    if (last === undefined || text.trim() !== '---' || blank !== last.indent + 2) return false
    this.#diagnostics = { indent: blank, show: last.failed }
    return true
  }

  #begin(indent: number, name: string): void {
    const depth = indent / 4
    this.#levels.length = Math.min(this.#levels.length, depth)
    this.#levels[depth] = { name, open: true, failedBefore: this.#failed }
  }

  #point(indent: number, ok: boolean, description: string): void {
    const depth = indent / 4
    const level = this.#levels[depth]
    const directive = directivePattern.exec(description)?.[1]?.toUpperCase()
    // tap skips a file without tests; to us it is a mistake.
    const empty = depth === 0 && directive === 'SKIP'
    const failed = empty || (!ok && directive === undefined)
    if (level?.open !== true) return this.#count(indent, failed, directive, description)
    level.open = false
    this.#sum(depth, failed && this.#failed === level.failedBefore, directive, description)
    if (depth > 0) return
    this.#files.add(level.name)
    this.#print(`${failed ? 'FAIL' : 'pass'}  ${description.replace(' # time=', '  ')}`)
  }

  /** A point that sums up a subtest counts only when what it says was not counted below it. */
  #sum(depth: number, failed: boolean, directive: string | undefined, description: string): void {
    this.#lastPoint = { indent: depth * 4, failed }
    if (failed) {
      this.#failed += 1
      this.#print(`not ok ${this.#path(depth, description)}`)
    } else if (directive === 'SKIP') {
      this.#skip(depth, description)
    }
  }

  #count(indent: number, failed: boolean, directive: string | undefined, text: string): void {
    this.#lastPoint = { indent, failed }
    if (directive !== undefined) this.#skip(indent / 4, text)
    else if (!failed) this.#passed += 1
    else {
      this.#failed += 1
      this.#print(`not ok ${this.#path(indent / 4, text)}`)
    }
  }

  /** Said aloud: a check that did not run must not look like one that passed. */
  #skip(depth: number, text: string): void {
    this.#skipped += 1
    const parents = this.#levels.slice(0, depth).map((level) => level.name)
    const reason = text.replace(skipNoisePattern, ':')
    this.#print(`skip  ${[...parents, reason].join(' > ')}`)
  }

  #path(depth: number, description: string): string {
    const parents = this.#levels.slice(0, depth).map((level) => level.name)
    return [...parents, description.replace(/ # time=.*$/, '')].join(' > ')
  }
}

function indentOf(blanks: string | undefined): number {
  return blanks?.length ?? 0
}
