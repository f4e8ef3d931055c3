/**
 * Reads the profiles of the phases from config/phases/, which is shipped inside the package. The
 * folder has the same place relative to src/config/ and to dist/config/, so that one path serves
 * both. routing/change.ts applies the profiles.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { z } from 'zod'
import { PontoonError } from '../shared/errors.ts'
import { phaseNames, type PhaseName } from './phase-names.ts'

const percent = z.number().min(0).max(100)

const profileSchema = z.strictObject({
  phase: z.enum(phaseNames),
  description: z.string().min(1),
  /** What moves a service into the phase: an operator's route change, or only that command. */
  reachedBy: z.enum(['patch', 'cutover', 'retire']),
  reads: percent,
  mirror: percent,
  dualWrite: percent,
})

export type PhaseProfile = Readonly<z.infer<typeof profileSchema>>
export type PhaseProfiles = Readonly<Record<PhaseName, PhaseProfile>>

const shippedFolder = fileURLToPath(new URL('../../config/phases/', import.meta.url))

/** The profiles of this release. */
export function shippedPhases(): PhaseProfiles {
  return loadPhases(shippedFolder)
}

/** One file per phase, all of them. Throws CONFIG_UNREADABLE or CONFIG_INVALID. */
export function loadPhases(folder: string): PhaseProfiles {
  return Object.freeze({
    'self-hosted': loadPhase(folder, 'self-hosted'),
    shadow: loadPhase(folder, 'shadow'),
    canary: loadPhase(folder, 'canary'),
    'reads-on-target': loadPhase(folder, 'reads-on-target'),
    managed: loadPhase(folder, 'managed'),
    retired: loadPhase(folder, 'retired'),
  })
}

function loadPhase(folder: string, name: PhaseName): PhaseProfile {
  const file = `${folder}${folder.endsWith('/') ? '' : '/'}${name}.yml`
  const parsed = profileSchema.safeParse(readYaml(file))
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    throw new PontoonError('CONFIG_INVALID', `${file}: ${problems.join('; ')}`)
  }
  if (parsed.data.phase !== name) {
    throw new PontoonError('CONFIG_INVALID', `${file}: phase: expected ${name}, as the file name`)
  }
  return Object.freeze(parsed.data)
}

function readYaml(file: string): unknown {
  try {
    return parse(readFileSync(file, 'utf8'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new PontoonError('CONFIG_UNREADABLE', `${file}: ${reason}`, { cause: error })
  }
}
