/**
 * Writes docs/metrics.md and docs/cli.md from what the code declares. Run it after a change of a
 * metric or a command: `node --import=tsx scripts/docs-admin.ts`. A test fails when the files are
 * not up to date.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { loadCommands } from '../src/cli/commands.ts'
import { helpPage } from '../src/cli/help.ts'
import { metricFamilies } from '../src/control/metrics.ts'

export interface GeneratedFile {
  /** From the root of the repository. */
  readonly path: string
  readonly text: string
}

export async function generateAdminDocs(): Promise<readonly GeneratedFile[]> {
  const style = { printWidth: 100, parser: 'markdown' }
  return [
    { path: 'docs/metrics.md', text: await format(metricsPage(), style) },
    { path: 'docs/cli.md', text: await format(await commandsPage(), style) },
  ]
}

function metricsPage(): string {
  const rows = metricFamilies.map(({ name, type, labels, help }) => {
    const all = ['service', ...labels].map((label) => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${type} | ${all} | ${help} |`
  })
  return `${metricsIntroduction}
| metric | type | labels | meaning |
| --- | --- | --- | --- |
| \`pontoon_build_info\` | gauge | \`version\`, \`node\` | Always 1; the labels say what runs. |
${rows.join('\n')}

${processMetrics}`
}

const metricsIntroduction = `<!-- Written by scripts/docs-admin.ts from src/control/metrics.ts. Do not edit. -->

# Metrics

\`GET /metrics\` answers in the Prometheus text format: on the probe listener to everyone, on the
admin listener to every token. Values are counted by the data plane and copied at each scrape, so
that a scrape costs no query anything. Histograms are in seconds.
`

const processMetrics = `Besides these there are the usual metrics of the process, as \`pontoon_process_cpu_seconds_total\`,
\`pontoon_process_resident_memory_bytes\` and \`pontoon_nodejs_eventloop_lag_p99_seconds\`.

Some expressions to begin with:

\`\`\`
# share of transactions that the target takes
sum by (service) (rate(pontoon_transactions_total{side="target"}[1m]))
  / sum by (service) (rate(pontoon_transactions_total[1m]))

# 99th percentile of the time that transactions wait for a server
histogram_quantile(0.99, sum by (service, le) (rate(pontoon_client_wait_seconds_bucket[5m])))

# errors that Pontoon itself gave to clients
sum by (service, code) (rate(pontoon_errors_total[5m]))
\`\`\`
`

async function commandsPage(): Promise<string> {
  const pages = (await loadCommands()).map(
    (command) => `## pontoon ${command.name}\n\n\`\`\`\n${helpPage(command)}\n\`\`\`\n`,
  )
  return `${introduction}\n${pages.join('\n')}`
}

const introduction = `<!-- Written by scripts/docs-admin.ts from src/cli. Do not edit. -->

# Command line

The result goes to stdout, remarks and logs to stderr. With \`--json\` the result is one JSON value; a
failure is \`{"error": {"code", "message", "retrySafe", "hint"}}\`, its code one of
[errors.md](errors.md).

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed |
| 2 | the command line is wrong |
| 3 | refused: it could cause harm, or the route has moved on |
| 4 | aborted safely |
| 5 | the outcome is still pending |

Commands that act on a running sidecar find it at \`--admin URL\`, else \`PONTOON_ADMIN\`, else
\`http://127.0.0.1:7070\`, and send the token in \`PONTOON_TOKEN\` if there is one.
`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, text } of await generateAdminDocs()) {
    writeFileSync(new URL(`../${path}`, import.meta.url), text)
    process.stdout.write(`${path}\n`)
  }
}
