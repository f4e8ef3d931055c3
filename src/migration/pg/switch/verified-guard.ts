/**
 * Whether somebody has compared the two sides before. Only a warning: a verification is as old as
 * the first write after it, and it may have been run by a Pontoon with another state folder.
 */
import { toPontoonError } from '../../../shared/errors.ts'
import { readLastVerify, type LastVerify } from '../verify/last-verify.ts'
import { ok, warning, type Guard } from './model.ts'

export async function verifiedGuard(stateFolder: string, service: string): Promise<Guard> {
  const command = `pontoon verify ${service}`
  try {
    const last = await readLastVerify(stateFolder, service)
    if (last === undefined)
      return warning(
        'verified',
        `no ${command} has compared the two sides, as far as is known here`,
      )
    const text = `${command}, ended ${last.endedAt}: ${outcomeOf(last)}`
    const isGood = last.result === 'equal' && last.isComplete && last.isAligned
    return isGood ? ok('verified', text) : warning('verified', `${text}; run it again`)
  } catch (error) {
    return warning('verified', toPontoonError(error).message)
  }
}

function outcomeOf(last: LastVerify): string {
  const { result, isComplete, isAligned, tables, rows } = last
  const { differing, repaired, unsettled, schemaDifferences } = last
  if (result === 'different')
    return (
      `${differing} rows differed (${repaired} of them repaired), ` +
      `${schemaDifferences} definitions did`
    )
  if (result === 'unsettled') return `${unsettled} rows changed too often to be compared`
  const all = `${rows} rows of ${tables} tables were equal`
  if (!isComplete) return `${all}, but not all was compared`
  return isAligned ? all : `${all}, but sync was not waited for`
}
