/**
 * PostgreSQL's own grammar (libpg_query, compiled to WebAssembly). It is ready once this module
 * has been imported. classify.ts keeps what it says in a cache: a parse costs about two
 * microseconds for each token.
 */
import { loadModule, parseSync } from 'libpg-query'

await loadModule()

/** The statements of a text as parse trees, or null when it is not SQL. */
export function parseStatements(sql: string): readonly unknown[] | null {
  try {
    return (parseSync(sql).stmts ?? []).map((raw) => raw.stmt)
  } catch {
    // A syntax error, or a text too deep for the parser. Nothing is known of it, which is an
    // answer: the caller takes it for no read.
    return null
  }
}
