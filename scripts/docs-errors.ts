/** Writes docs/errors.md from src/shared/errors.ts. The page is made by lib/error-page.ts. */
import { writeFileSync } from 'node:fs'
import { errorTable } from '../src/shared/errors.ts'
import { renderErrors } from './lib/error-page.ts'

writeFileSync(new URL('../docs/errors.md', import.meta.url), await renderErrors(errorTable))
