/** When a service was verified last and how it ended. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { PontoonError } from '../../../shared/errors.ts'
import { systemErrorCode } from '../../../shared/system-error.ts'

export const verifyResults = ['equal', 'different', 'unsettled'] as const
export type VerifyResult = (typeof verifyResults)[number]

export const lastVerifySchema = z.object({
  version: z.literal(1),
  result: z.enum(verifyResults),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  endedAt: z.string(),
  primary: z.enum(['source', 'target']),
  /** Whether all rows of all tables were compared, with all their columns. */
  isComplete: z.boolean(),
  isAligned: z.boolean(),
  tables: z.number(),
  rows: z.number(),
  differing: z.number(),
  repaired: z.number(),
  unsettled: z.number(),
  schemaDifferences: z.number(),
  /** Its file, beside this one. */
  report: z.string(),
})
export type LastVerify = Readonly<z.infer<typeof lastVerifySchema>>

/** `stateFolder`: the one of the configuration. */
export function verifyFolder(stateFolder: string, service: string): string {
  return join(stateFolder, 'jobs', service, 'verify')
}

/** Undefined when the service was never verified. Throws STATE_UNREADABLE. */
export async function readLastVerify(
  stateFolder: string,
  service: string,
): Promise<LastVerify | undefined> {
  const path = join(verifyFolder(stateFolder, service), 'last.json')
  try {
    return lastVerifySchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw new PontoonError('STATE_UNREADABLE', `${path} cannot be read`, { cause: error })
  }
}
