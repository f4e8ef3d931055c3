/** Requests as the framer would hand them over: bytes, and where the arguments stand in them. */
import { KeyList, findKeys } from '../../../src/routing/redis/command-keys.ts'
import type { Arguments } from '../../../src/routing/redis/command-keys.ts'
import type { CommandFacts } from '../../../src/routing/redis/command-facts.ts'
import { factsOf } from '../../../src/routing/redis/command-table.ts'
import type { CommandTable } from '../../../src/routing/redis/command-table.ts'
import { ArgumentPositions } from '../../../src/wire/redis/argument-positions.ts'
import { encodeCommand } from '../../support/resp.ts'

export function argumentsOf(words: readonly string[]): Arguments {
  const bytes = encodeCommand(...words)
  const positions = new ArgumentPositions()
  positions.read(bytes, 0, bytes.length)
  return positions
}

export function factsFor(table: CommandTable, ...words: readonly string[]): CommandFacts {
  return factsOf(table, argumentsOf(words))
}

export interface FoundKeys {
  readonly keys: readonly string[]
  readonly written: readonly string[]
  readonly complete: boolean
}

export function keysFor(
  table: CommandTable,
  words: readonly string[],
  channels = false,
): FoundKeys {
  const list = new KeyList()
  findKeys(factsFor(table, ...words), argumentsOf(words), list, channels)
  const indexes = Array.from({ length: list.count }, (_, index) => index)
  const word = (index: number): string => words[list.at(index)] ?? ''
  return {
    keys: indexes.map(word),
    written: indexes.filter((index) => list.isWritten(index)).map(word),
    complete: list.complete,
  }
}
