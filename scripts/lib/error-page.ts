/**
 * Renders docs/errors.md from the error table, formatted as prettier would. Neighbours:
 * ../docs-errors.ts, which writes it, and test/style.test.ts, which compares.
 */
import { format, resolveConfig } from 'prettier'
import type { ErrorKind } from '../../src/shared/errors.ts'

const introduction = `# Errors

Every operational error has a code that does not change between versions. A PostgreSQL client sees
the SQLSTATE and, in the detail of the message, the code; the admin API answers with a problem
document (RFC 9457) that carries the code; the command line prints it.

**Retry** says whether the request may be repeated in the knowledge that nothing of it was done.
Where it says "no", either repeating cannot help or the fate of the request is unknown.

This page is generated from \`src/shared/errors.ts\` by \`node --import=tsx scripts/docs-errors.ts\`.
`

export async function renderErrors(table: Readonly<Record<string, ErrorKind>>): Promise<string> {
  const rows = Object.entries(table).map(
    ([code, kind]) =>
      `| \`${code}\` | \`${kind.sqlstate}\` | ${kind.http} | ${kind.retrySafe ? 'yes' : 'no'} | ` +
      `${kind.meaning.replaceAll('|', '\\|')} |`,
  )
  const head = ['| Code | SQLSTATE | HTTP | Retry | Meaning |', '| --- | --- | --- | --- | --- |']
  const page = `${introduction}\n${[...head, ...rows].join('\n')}\n`
  const style = await resolveConfig(import.meta.filename)
  return format(page, { ...style, parser: 'markdown' })
}
