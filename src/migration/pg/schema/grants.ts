/** The grants of a dump: one statement a line, as pg_dump writes them. */
import type { DumpEntry } from './archive.ts'
import type { TargetFacts } from './target-facts.ts'

export function isGrants({ kind }: DumpEntry): boolean {
  return kind === 'ACL' || kind === 'DEFAULT ACL'
}

/**
 * Roles that the target does not have get nothing. SET SESSION AUTHORIZATION, around grants by
 * others than the owner, is for superusers.
 */
export function grantsFor(definition: string, facts: TargetFacts): readonly string[] {
  return linesOf(definition)
    .map((line) =>
      facts.isSuperuser
        ? line
        : line
            .replace(/^SET SESSION AUTHORIZATION /, 'SET ROLE ')
            .replace(/^RESET SESSION AUTHORIZATION/, 'RESET ROLE'),
    )
    .filter((line) => {
      const name = granteeOf(line)
      return name === undefined ? line.trim() !== '' : facts.roles.has(name)
    })
}

/**
 * What Pontoon's own roles have been granted on a side is that side's business: before 14 they have
 * a grant on every table, which is no difference and must not be carried over.
 */
export function withoutGrantsTo(
  roles: ReadonlySet<string>,
  entries: readonly DumpEntry[],
): readonly DumpEntry[] {
  return entries.flatMap((entry) => {
    if (!isGrants(entry)) return [entry]
    const lines = linesOf(entry.definition)
    const kept = lines.filter((line) => !roles.has(granteeOf(line) ?? ''))
    if (kept.length === lines.length) return [entry]
    const isLeft = kept.some((line) => /\b(?:GRANT|REVOKE)\b/.test(line))
    return isLeft ? [{ ...entry, definition: kept.join('\n') }] : []
  })
}

export function linesOf(definition: string): readonly string[] {
  return definition.split(/(?<=;)\n/)
}

function granteeOf(line: string): string | undefined {
  const role = /\b(?:TO|FROM) (?:"((?:[^"]|"")+)"|([a-z_][a-z0-9_$]*))(?: WITH GRANT OPTION)?;$/
  const match = role.exec(line.trim())
  return match?.[1]?.replaceAll('""', '"') ?? match?.[2]
}
