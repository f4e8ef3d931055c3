/**
 * Reads the repository's files for the style checks, and blanks out what is not code (comments,
 * strings, regular expressions), keeping every offset and line. Neighbour: ../style.test.ts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string
  readonly text: string
}

/** Something that must be changed, with the place and what to do instead. */
export type Finding = string

const skippedFolders = new Set(['node_modules', 'dist', '.tap', '.git', 'coverage'])

export function readSources(
  root: string,
  folder: string,
  accept: (path: string) => boolean,
): SourceFile[] {
  const files: SourceFile[] = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '.' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) {
      if (!skippedFolders.has(entry.name)) files.push(...readSources(root, path, accept))
    } else if (accept(path)) {
      files.push({ path, text: readFileSync(join(root, path), 'utf8') })
    }
  }
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** The same text with blanks where comments, string contents and regular expressions stood. */
export function codeOnly(text: string): string {
  return new Masker(text).mask()
}

/** After these, a slash begins a regular expression; after anything else it divides. */
const beforeRegex =
  /(?:^|[([{,;:=!&|?+\-*%<>~^}]|\b(?:return|typeof|case|in|of|do|else|void|await))$/

class Masker {
  readonly #text: string
  readonly #out: string[]
  #at = 0

  constructor(text: string) {
    this.#text = text
    this.#out = text.split('')
  }

  mask(): string {
    this.#code(false)
    return this.#out.join('')
  }

  /** Code up to the end, or up to the brace that closes a `${` in a template. */
  #code(inTemplate: boolean): void {
    let depth = 0
    while (this.#at < this.#text.length) {
      const char = this.#text.charAt(this.#at)
      const pair = this.#text.slice(this.#at, this.#at + 2)
      if (inTemplate && char === '}' && depth === 0) return
      if (char === '{') depth += 1
      if (char === '}') depth -= 1
      if (pair === '//') this.#blankTo(this.#indexOf('\n'))
      else if (pair === '/*') this.#blankTo(this.#indexOf('*/') + 2)
      else if (char === "'" || char === '"') this.#string(char)
      else if (char === '`') this.#template()
      else if (char === '/' && this.#isRegex()) this.#regex()
      else this.#at += 1
    }
  }

  #string(quote: string): void {
    const end = this.#closing(quote)
    this.#at += 1
    this.#blankTo(end)
    this.#at = end + 1
  }

  #template(): void {
    this.#at += 1
    while (this.#at < this.#text.length && this.#text.charAt(this.#at) !== '`') {
      if (this.#text.startsWith('${', this.#at)) {
        this.#at += 2
        this.#code(true)
        this.#at += 1
      } else if (this.#text.charAt(this.#at) === '\\') this.#blankTo(this.#at + 2)
      else this.#blankTo(this.#at + 1)
    }
    this.#at += 1
  }

  #isRegex(): boolean {
    return beforeRegex.test(
      this.#out
        .slice(Math.max(0, this.#at - 200), this.#at)
        .join('')
        .trimEnd(),
    )
  }

  #regex(): void {
    let inClass = false
    let end = this.#at + 1
    for (; end < this.#text.length; end += 1) {
      const char = this.#text.charAt(end)
      if (char === '\\') end += 1
      else if (char === '[') inClass = true
      else if (char === ']') inClass = false
      else if (char === '/' && !inClass) break
    }
    this.#at += 1
    this.#blankTo(end)
    this.#at = end + 1
  }

  #closing(quote: string): number {
    let end = this.#at + 1
    while (end < this.#text.length && this.#text.charAt(end) !== quote) {
      end += this.#text.charAt(end) === '\\' ? 2 : 1
    }
    return end
  }

  #indexOf(what: string): number {
    const index = this.#text.indexOf(what, this.#at)
    return index < 0 ? this.#text.length : index
  }

  #blankTo(end: number): void {
    for (; this.#at < Math.min(end, this.#text.length); this.#at += 1) {
      if (this.#text.charAt(this.#at) !== '\n') this.#out[this.#at] = ' '
    }
  }
}
