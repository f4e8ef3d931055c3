/**
 * What logs Pontoon in to a side when it is not one fixed text: a file that is replaced, a secret
 * that is rotated, a token that expires. Asked at every login, so that what it gives is current;
 * made by secrets.ts.
 */
import { PontoonError } from '../../shared/errors.ts'

export interface SecretSource {
  /** The present value. Rejects with SECRET_UNAVAILABLE when there is none. */
  get(): Promise<string>
  /** The server refused this value: settles with another one to try, or null when there is none. */
  renew(refused: string): Promise<string | null>
}

/** Never with a cause: what the SDK and the parser throw may hold the secret or its signature. */
export function secretUnavailable(what: string, thrown: unknown): PontoonError {
  if (thrown instanceof PontoonError) return thrown
  const reason = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : 'unknown reason'
  return new PontoonError('SECRET_UNAVAILABLE', `${what} cannot be had: ${reason}`)
}
