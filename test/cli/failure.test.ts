/** What people are told to do about a refusal of a server, whatever way its words have come. */
import tap from 'tap'
import { reportFailure } from '../../src/cli/failure.ts'
import { createOutput } from '../../src/cli/output.ts'
import { ServerLoginError } from '../../src/net/pg/login.ts'
import { SqlError } from '../../src/net/pg/sql-error.ts'
import { PontoonError } from '../../src/shared/errors.ts'

function told(error: Error, json = false): string {
  let text = ''
  const write = (more: string): void => {
    text += more
  }
  reportFailure(error, createOutput(json, { out: write, err: write }))
  return text
}

const refused = (sqlstate: string): SqlError =>
  new SqlError('db:5432', { message: 'no', sqlstate, severity: 'ERROR', routine: '' })

void tap.test('a refusal comes with what to do', (t) => {
  t.match(told(refused('42501')), /pontoon: db:5432: no \(SQLSTATE 42501\).*--print-sql/s)
  t.match(told(refused('53100')), 'Make room on the disk')
  const login = new ServerLoginError('db:5432', '53300', 'too many clients', Buffer.alloc(0))
  t.match(told(login), 'Raise max_connections')
  const asText = new PontoonError('SQL_FAILED', refused('53400').message)
  t.match(told(asText), 'pg_replication_slots')
  t.match(JSON.parse(told(asText, true)), { error: { hint: /pg_replication_slots/ } })
  t.equal(told(refused('42P01')).trim().split('\n').length, 1, 'of others the words alone')
  t.end()
})
