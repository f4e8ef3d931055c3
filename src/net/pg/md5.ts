/** PostgreSQL's md5 password hash: `md5` + md5(password + user), salted once more on the wire. */
import { createHash } from 'node:crypto'

export function md5Verifier(user: string, password: string): string {
  return `md5${hex(Buffer.from(password + user))}`
}

/** The answer to AuthenticationMD5Password for a verifier made by `md5Verifier`. */
export function md5Response(verifier: string, salt: Buffer): string {
  return `md5${hex(Buffer.concat([Buffer.from(verifier.slice(3)), salt]))}`
}

function hex(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}
