/**
 * Everything in which an answer through Pontoon may differ from the server's own, each with its
 * reason. transparency.test.ts compares byte by byte apart from these, and fails when one of them
 * is not met any more. A new line here is a decision: it needs a reason that a user would accept.
 */

export interface Exception {
  readonly reason: string
  /** Where it may be met: names of scripts begin with one of these. */
  readonly scripts: readonly string[]
  readonly modes: readonly ('session' | 'transaction')[]
  /** Brings an answer (types, blank, bytes in latin1) to the form in which both are equal. */
  readonly common: (answer: string) => string
}

const both = ['session', 'transaction'] as const

export const exceptions: readonly Exception[] = [
  {
    reason:
      'Pontoon says that a client is let in when a server has let it in, with everything else; ' +
      'PostgreSQL says it first and may refuse it then.',
    scripts: ['refused at login'],
    modes: both,
    common: (answer) => answer.replace(/^RE R\0\0\0\0/, 'E '),
  },
  {
    reason:
      'Pontoon refuses what it cannot frame by itself: file, line and routine of the server (F, ' +
      'L, R) are not its own to claim, and the detail names its error code.',
    scripts: ['an unknown type of message'],
    modes: both,
    common: (answer) => answer.replace(/F[^\0]*\0L\d+\0R\w+\0|DPontoon error \w+\.\0/, ''),
  },
  {
    reason:
      'Settings given at login are applied with set_config() on a server that is there already; ' +
      'SQLSTATE and words of a refusal are told, detail and place in the source are not.',
    scripts: [
      'refused at login: an unknown parameter',
      'refused at login: a value',
      'refused at login: an encoding',
      'refused at login: a parameter that needs a restart',
    ],
    modes: ['transaction'],
    common: (answer) => answer.replace(/(?:D[^\0]*\0)?F[^\0]*\0L\d+\0R\w+\0/, ''),
  },
  {
    reason:
      'To a length that cannot be, the server hangs up without a word and writes its log; the ' +
      'client of a sidecar has no server log at hand, so it is told.',
    scripts: ['a message length that cannot be'],
    modes: both,
    common: (answer) =>
      answer.replace(/^E ESFATAL\0VFATAL\0C08P01\0Minvalid message length.* closed$/s, '  closed'),
  },
  {
    reason:
      'The settings of a session follow it with SET. So RESET within it first goes to the ' +
      "server's own value, and to the session's at its next transaction: one more ParameterStatus.",
    scripts: ['a session that was started with settings'],
    modes: ['transaction'],
    common: (answer) =>
      answer
        .replace(/^[A-Z]+ /, (types) => types.replaceAll('S', ''))
        .replace(/S(?:application_name|DateStyle|TimeZone)\0[^\0]*\0/g, ''),
  },
  {
    reason:
      'Names given in Parse are those of the client, not of the server, where all clients share ' +
      'a statement; EXECUTE and DEALLOCATE of such a name in SQL do not find it.',
    scripts: ['SQL reaches for a statement that was made by Parse'],
    modes: ['transaction'],
    common: (answer) => (answer === '1Z 1ZI' ? answer : ''),
  },
  {
    reason:
      'A session that listens holds no server; its notifications come from a shared listener, so ' +
      'its own may come behind the ReadyForQuery of the transaction that sent them.',
    scripts: ['LISTEN and NOTIFY'],
    modes: ['transaction'],
    common: (answer) =>
      answer
        .replace(/^[A-Z]+ /, (types) => types.replaceAll('A', ''))
        .replaceAll(/A(?:mine|other)\0[^\0]*\0/g, ''),
  },
]

/**
 * For prepared.test.ts and random-scripts.test.ts, in transaction mode: in a failed transaction a
 * statement that is not on the client's server cannot be parsed there, so a Bind or Describe of it
 * is refused as its Parse is (25P02), where directly a wrong number of parameters (08P01) or the
 * Bind itself (25P02) is complained about, and a Describe of what gives no rows succeeds. To know
 * better, every BEGIN would have to prepare all that its client holds; and nothing but the end of
 * the transaction helps that client in either case.
 */
export function isRefusedAsItsParse(expected: string, found: string): boolean {
  return refusedParse.test(found) && refusedUse.test(expected)
}

const refusedParse = /^E[^]*\0C25P02\0[^]*\0Rexec_parse_message\0/
const refusedUse =
  /^t|^E[^]*\0(?:C08P01\0Mbind message supplies|C25P02\0[^]*\0Rexec_(?:bind|describe_statement)_message\0)/

/** The answers to a script but for what may differ there; adds the exceptions that apply to `met`. */
export function withoutExceptions(
  answers: readonly string[],
  script: string,
  mode: 'session' | 'transaction',
  met: Set<Exception>,
): string[] {
  const applying = exceptions.filter(
    ({ modes, scripts }) =>
      modes.includes(mode) && scripts.some((start) => script.startsWith(start)),
  )
  return answers.map((answer) =>
    applying.reduce((text, exception) => {
      const common = exception.common(text)
      if (common !== text) met.add(exception)
      return common
    }, answer),
  )
}
