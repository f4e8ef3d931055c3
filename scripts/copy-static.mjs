/** Copies what tsc leaves out of dist: the static files of the console. Part of `npm run build`. */
import { cpSync } from 'node:fs'

const root = new URL('..', import.meta.url)
cpSync(new URL('src/control/console', root), new URL('dist/control/console', root), {
  recursive: true,
})
