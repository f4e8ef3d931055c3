/**
 * Names that documentation and code share: error codes and metrics. Neighbour: ../style.test.ts.
 */
import type { Finding, SourceFile } from './source.ts'

/** Codes are the headings of rows: `| \`CODE\` | …`. */
export function errorCodeDifferences(codes: readonly string[], page: string): Finding[] {
  const documented = [...page.matchAll(/^\| `([A-Z][A-Z0-9_]+)`/gm)].map((match) => match[1] ?? '')
  return [
    ...codes
      .filter((code) => !documented.includes(code))
      .map(
        (code) => `${code} is not in docs/errors.md: run node --import=tsx scripts/docs-errors.ts`,
      ),
    ...documented
      .filter((code) => !codes.includes(code))
      .map((code) => `docs/errors.md has ${code}, which src/shared/errors.ts does not know`),
  ]
}

/** What Prometheus makes of a histogram or summary. */
const seriesSuffix = /_(?:bucket|sum|count)$/

export function unknownMetrics(
  registered: ReadonlySet<string>,
  pages: readonly SourceFile[],
  otherNames: ReadonlySet<string> = new Set(),
): Finding[] {
  return pages.flatMap((page) => {
    const names = new Set(page.text.match(/\bpontoon_[a-z0-9_]*[a-z0-9]\b/g))
    return [...names]
      .filter((name) => !otherNames.has(name))
      .filter((name) => !registered.has(name) && !registered.has(name.replace(seriesSuffix, '')))
      .map((name) => `${page.path} names the metric ${name}, which src/control/metrics.ts lacks`)
  })
}

/** The names that stand in the registry's source. */
export function metricNames(source: string): Set<string> {
  return new Set(
    [...source.matchAll(/['"`](pontoon_[a-z0-9_]*[a-z0-9])['"`]/g)].map(([, name]) => name ?? ''),
  )
}
