/** How the two servers differ in what the same data means on them: encoding, order, features. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import type { Finding, Severity } from '../findings.ts'
import { carriesTruncate } from '../truncations.ts'

interface DatabaseFacts {
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  readonly provider: string
  readonly locale: string
  readonly version: string
  readonly walLevel: string
}

/** Columns that came with 15 to 17 are read through JSON, so that one statement fits all. */
const factsSql = `SELECT pg_catalog.json_build_object(
    'encoding', pg_catalog.pg_encoding_to_char(d.encoding),
    'collate', d.datcollate, 'ctype', d.datctype,
    'provider', COALESCE(j->>'datlocprovider', 'c'),
    'locale', COALESCE(j->>'datlocale', j->>'daticulocale', ''),
    'version', COALESCE(j->>'datcollversion', ''),
    'walLevel', pg_catalog.current_setting('wal_level'))
  FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.to_jsonb(d) AS j
  WHERE d.datname = pg_catalog.current_database()`

const providers: Readonly<Record<string, string>> = { c: 'libc', i: 'icu', b: 'builtin' }

export async function sideDifferences(
  source: SqlClient,
  target: SqlClient,
): Promise<readonly Finding[]> {
  const [ours, theirs] = [await read(source), await read(target)]
  return [
    ...encodings(ours, theirs),
    ...collations(ours, theirs),
    ...walLevels(ours, theirs),
    ...(await collationVersions(source, target)),
    ...(await extensions(source, target)),
    ...(carriesTruncate(source.major, target.major)
      ? []
      : [
          finding(
            'TRUNCATE_NOT_CARRIED',
            'warning',
            'database',
            'PostgreSQL 10 carries no TRUNCATE over: the other side keeps the rows, and no switch is made',
            'DELETE instead from the copy on; after a TRUNCATE, pontoon verify --repair.',
          ),
        ]),
    ...(target.major < source.major
      ? [
          finding(
            'TARGET_OLDER',
            'warning',
            'database',
            `The target is PostgreSQL ${target.major}, older than the source (${source.major})`,
            'Take a target of at least the same major version.',
          ),
        ]
      : []),
  ]
}

async function read(client: SqlClient): Promise<DatabaseFacts> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the statement makes it
  return JSON.parse((await client.value(factsSql)) ?? '{}') as DatabaseFacts
}

function encodings(source: DatabaseFacts, target: DatabaseFacts): readonly Finding[] {
  if (source.encoding === target.encoding) return []
  const text = `The encoding is ${source.encoding} on the source and ${target.encoding} on the target`
  const isSafe = target.encoding === 'UTF8' && source.encoding !== 'SQL_ASCII'
  const fix = isSafe
    ? 'All characters of the source exist in UTF8; lengths in bytes may grow.'
    : `Make the target's database with ENCODING '${source.encoding}' TEMPLATE template0.`
  return [finding('ENCODING_DIFFERS', isSafe ? 'warning' : 'blocker', 'database', text, fix)]
}

function collations(source: DatabaseFacts, target: DatabaseFacts): readonly Finding[] {
  const spell = ({ provider, collate, ctype, locale }: DatabaseFacts): string =>
    `${providers[provider] ?? provider} ${locale === '' ? collate : locale}` +
    (ctype === collate ? '' : ` (ctype ${ctype})`)
  const [ours, theirs] = [spell(source), spell(target)]
  const order =
    'text sorts and compares in another order: ORDER BY, ranges and unique keys may differ'
  if (ours !== theirs) {
    const text = `The default collation is ${ours} on the source and ${theirs} on the target: ${order}`
    const fix = "Make the target's database with the same provider and locale (TEMPLATE template0)."
    return [finding('COLLATION_DIFFERS', 'warning', 'database', text, fix)]
  }
  if (source.version === target.version || source.version === '' || target.version === '') return []
  const text = `The collation ${ours} has version ${source.version} on the source and ${target.version} on the target: ${order}`
  const fix =
    'Indexes are built anew on the target and are sound; compare sorted output of the application.'
  return [finding('COLLATION_VERSION_DIFFERS', 'warning', 'database', text, fix)]
}

function walLevels(source: DatabaseFacts, target: DatabaseFacts): readonly Finding[] {
  const wrong = [
    ['source', source.walLevel, 'ALTER SYSTEM SET wal_level = logical; and restart.'],
    [
      'target',
      target.walLevel,
      'RDS: rds.logical_replication = 1 in the parameter group, and reboot.',
    ],
  ].filter(([, level]) => level !== 'logical')
  return wrong.map(([side = '', level = '', fix = '']) =>
    finding('WAL_LEVEL', 'blocker', side, `wal_level of the ${side} is ${level}, not logical`, fix),
  )
}

/** Of collations that columns or indexes name. */
async function collationVersions(
  source: SqlClient,
  target: SqlClient,
): Promise<readonly Finding[]> {
  const sql = `SELECT pg_catalog.format('%I.%I', n.nspname, c.collname), c.collversion
    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
    WHERE c.collversion IS NOT NULL AND EXISTS (
      SELECT FROM pg_catalog.pg_attribute a WHERE a.attcollation = c.oid AND a.attrelid >= 16384)`
  const all = `SELECT pg_catalog.format('%I.%I', n.nspname, c.collname), c.collversion
    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
    WHERE c.collversion IS NOT NULL`
  const used = await source.query(sql)
  const there = new Map((await target.query(all)).rows.map(([key, version]) => [key, version]))
  return used.rows.flatMap(([collation, version]) => {
    const other = there.get(collation ?? '')
    if (other === undefined || other === version) return []
    const text = `The collation has version ${version} on the source and ${other} on the target: text may sort in another order`
    return [finding('COLLATION_VERSION_DIFFERS', 'warning', collation ?? '', text, '')]
  })
}

async function extensions(source: SqlClient, target: SqlClient): Promise<readonly Finding[]> {
  const used = await source.query('SELECT extname, extversion FROM pg_catalog.pg_extension')
  const offered = await target.query(
    'SELECT name, default_version FROM pg_catalog.pg_available_extensions',
  )
  const allowed = await target.value("SELECT pg_catalog.current_setting('rds.extensions', true)")
  const list =
    allowed === null || allowed === '' ? null : allowed.split(',').map((one) => one.trim())
  const versions = new Map(offered.rows.map(([name, version]) => [name, version]))
  return used.rows.flatMap(([name, version]) => {
    const there = versions.get(name ?? '')
    if (there === undefined || (list !== null && !list.includes(name ?? ''))) {
      const text = `The target does not offer the extension ${name}`
      const fix = 'Install it there, or take out what needs it.'
      return [finding('EXTENSION_MISSING', 'blocker', name ?? '', text, fix)]
    }
    if (there === version) return []
    const text = `The extension has version ${version} on the source, ${there} on the target`
    return [finding('EXTENSION_VERSION_DIFFERS', 'note', name ?? '', text, '')]
  })
}

function finding(
  code: string,
  severity: Severity,
  object: string,
  text: string,
  fix: string,
): Finding {
  return { code, severity, object, text, fix }
}
