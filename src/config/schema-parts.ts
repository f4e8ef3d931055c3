/** Parts of the schema that services of every protocol share; schema.ts and redis-schema.ts use them. */
import { z } from 'zod'
import { phaseNames } from './phase-names.ts'

export const text = z.string().min(1)
export const port = z.number().int().min(1).max(65_535)
export const durationMs = z.number().int().min(1).max(86_400_000).meta({ 'x-unit': 'ms' })
export const graceMs = z.number().int().min(0).max(3_600_000).meta({ 'x-unit': 'ms' })
export const percent = z.number().min(0).max(100).meta({ 'x-unit': '%' })
export const bytes = z.number().int().meta({ 'x-unit': 'bytes' })

/** A value that is never printed; in the file it may also be `{ file: path }`. */
export const secret = text.meta({ writeOnly: true })

/** A file or folder; a relative one counts from the folder of the file that names it. */
export const path = text.meta({ 'x-path': true })

/** What a password is made of where it may change while Pontoon runs; never printed either. */
const secretSource = z.union([
  text,
  z.strictObject({ file: path }),
  z.strictObject({
    secretsManager: text,
    key: text.optional(),
    region: text.optional(),
    endpoint: text.optional(),
    refreshMs: durationMs.default(300_000),
  }),
])

export const sidePassword = secretSource.meta({ writeOnly: true, 'x-rotates': true })

export const routeDefaults = z.strictObject({
  phase: z
    .enum(phaseNames)
    .default('self-hosted')
    .describe('Phase in which a new service starts; afterwards the stored route counts.'),
  reads: percent
    .optional()
    .describe('Percent of eligible reads on the target at the start; default: as the phase says.'),
  readAfterWriteMs: graceMs
    .default(1_000)
    .describe('A session that wrote reads from the primary for this long.'),
})

export const listen = z.union([text, z.array(text).min(1)])
