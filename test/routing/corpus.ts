/** Reads the labelled statements of test/fixtures/corpus (its README says what the labels mean). */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Label = 'read' | 'other' | 'write'

export interface CorpusStatement {
  readonly label: Label
  readonly sql: string
  /** File and line of the label. */
  readonly place: string
}

const folder = fileURLToPath(new URL('../fixtures/corpus', import.meta.url))

export function corpusSchema(): string {
  return readFileSync(join(folder, 'schema.sql'), 'utf8')
}

export function corpusStatements(): readonly CorpusStatement[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.sql') && file !== 'schema.sql')
  return files.flatMap((file) => statementsOf(file))
}

function statementsOf(file: string): CorpusStatement[] {
  const found: { label: Label; lines: string[]; place: string }[] = []
  const lines = readFileSync(join(folder, file), 'utf8').replace(/\n$/, '').split('\n')
  for (const [at, line] of lines.entries()) {
    const label = /^-- @(read|other|write)$/.exec(line)?.[1]
    if (label === 'read' || label === 'other' || label === 'write')
      found.push({ label, lines: [], place: `${file}:${at + 1}` })
    else found.at(-1)?.lines.push(line)
  }
  return found.map(({ label, lines: text, place }) => ({ label, sql: text.join('\n'), place }))
}
