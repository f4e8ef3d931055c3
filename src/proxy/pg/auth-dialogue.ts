/** What every way of logging a client in has in common; client-auth.ts chooses among them. */
import { PontoonError } from '../../shared/errors.ts'

export type AuthStep =
  | { readonly kind: 'send'; readonly message: Buffer }
  | { readonly kind: 'accepted'; readonly message: Buffer | null }

/** One login's dialogue. `next` rejects with CLIENT_AUTH_FAILED or CLIENT_PROTOCOL. */
export interface ClientAuth {
  /** The first request, or null when nothing is asked. */
  start(): Buffer | null
  next(body: Buffer): Promise<AuthStep>
}

export function authFailed(user: string): PontoonError {
  return new PontoonError('CLIENT_AUTH_FAILED', `password authentication failed for user "${user}"`)
}
