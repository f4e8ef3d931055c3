/** The checks of who may use the console of a service (proxy/pg/console). */
import type { CheckReport } from './checks.ts'
import type { Path } from './mistake.ts'
import type { ServiceConfig } from './schema.ts'

export function checkConsole(path: Path, service: ServiceConfig, report: CheckReport): void {
  const { clientAuth, users, databases } = service
  const needsEntry = clientAuth.mode === 'scram' || clientAuth.mode === 'md5'
  const hasOtherSource = Object.hasOwn(clientAuth, 'query')
  for (const key of ['consoleUsers', 'statsUsers'] as const) {
    const names = service[key]
    if (names === undefined) continue
    for (const name of names) {
      if (!needsEntry || hasOtherSource || Object.hasOwn(users ?? {}, name)) continue
      report.warning([...path, key], `names ${name}, who is not in users and cannot log in`)
    }
    const hidden = ['pgbouncer', 'pontoon'].filter((name) => databases?.includes(name) === true)
    for (const name of hidden) {
      report.warning([...path, key], `has no effect for ${name}: databases lists a real one`)
    }
  }
}
