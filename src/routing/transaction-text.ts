/**
 * Statements that begin or end a transaction, as far as routing cares: a transaction that is READ
 * ONLY from its first statement may run on the other side. Used by classify.ts.
 */

/**
 * Whether a text is one BEGIN or START TRANSACTION that says READ ONLY exactly once, and not
 * SERIALIZABLE: on a replica that level does not exist, and on a copy it would guard nothing.
 */
export function isReadOnlyBegin(statement: unknown): boolean {
  const begin = field(statement, 'TransactionStmt')
  const kind = field(begin, 'kind')
  if (kind !== 'TRANS_STMT_BEGIN' && kind !== 'TRANS_STMT_START') return false
  const options = field(begin, 'options')
  if (!Array.isArray(options)) return false
  let readOnly = 0
  for (const option of options) {
    const element = field(option, 'DefElem')
    const constant = field(field(element, 'arg'), 'A_Const')
    switch (field(element, 'defname')) {
      case 'transaction_read_only':
        if (field(field(constant, 'ival'), 'ival') !== 1) return false
        readOnly++
        break
      case 'transaction_isolation':
        if (field(field(constant, 'sval'), 'sval') === 'serializable') return false
        break
      case 'transaction_deferrable':
        break
      default:
        return false
    }
  }
  return readOnly === 1
}

function field(from: unknown, name: string): unknown {
  if (typeof from !== 'object' || from === null) return undefined
  return Object.entries(from).find(([key]) => key === name)?.[1]
}

const end =
  /^\s*(commit|rollback|end|abort)(\s+(work|transaction))?(\s+and\s+no\s+chain)?\s*(;\s*)?$/i

/**
 * Whether a text only ends the transaction, for good (no AND CHAIN, no ROLLBACK TO, no COMMIT
 * PREPARED). Harmless wherever a read-only transaction runs.
 */
export function isTransactionEnd(sql: string): boolean {
  return sql.length < 64 && end.test(sql)
}
