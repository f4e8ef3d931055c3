/**
 * What logs Pontoon in to a side when it is not one fixed text: a file that is replaced, a secret
 * that is rotated, a token that expires. Asked at every login, so that what it gives is current;
 * made by secrets.ts.
 */
export interface SecretSource {
  /** The present value. Rejects with SECRET_UNAVAILABLE when there is none. */
  get(): Promise<string>
  /** The server refused this value: settles with a newer one, or null when there is no other. */
  renew(refused: string): Promise<string | null>
}
