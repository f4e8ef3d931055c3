/**
 * The user a database server runs as. PostgreSQL refuses to run as root, so when we are root
 * another one must be found; when we are not, it runs as ourselves. Neighbours: postgres.ts,
 * postgres-binaries.ts.
 */
import { chownSync, readFileSync } from 'node:fs'

export interface SystemUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Undefined when we are not root: then everything simply runs as ourselves. */
export function unprivilegedUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const passwd = readFileSync('/etc/passwd', 'utf8')
  for (const name of ['postgres', 'nobody']) {
    const user = findUser(passwd, name)
    if (user !== undefined) return user
  }
  throw new Error('PostgreSQL cannot run as root, and there is neither a user postgres nor nobody')
}

export function findUser(passwd: string, name: string): SystemUser | undefined {
  for (const line of passwd.split('\n')) {
    const [entry, , uid, gid] = line.split(':')
    if (entry === name && uid !== undefined && gid !== undefined) {
      return { name, uid: Number(uid), gid: Number(gid) }
    }
  }
  return undefined
}

export function giveTo(user: SystemUser | undefined, ...paths: readonly string[]): void {
  if (user === undefined) return
  for (const path of paths) chownSync(path, user.uid, user.gid)
}
