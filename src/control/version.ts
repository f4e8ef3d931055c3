/** The version of this Pontoon, from the package.json beside src/ or dist/. */
import { readFileSync } from 'node:fs'

const file = new URL('../../package.json', import.meta.url)

export const version: string = readVersion()

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed) {
    return String(parsed.version)
  }
  throw new Error(`${file.pathname} names no version`)
}
