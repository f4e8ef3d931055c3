/** Tables and the width of what stands in them. */
import t from 'tap'
import { displayWidth, padToWidth, printable } from '../../src/cli/display-width.ts'
import { formatFacts, formatTable } from '../../src/cli/table.ts'

void t.test('the width of a text in columns', async (test) => {
  const cases: readonly (readonly [text: string, width: number])[] = [
    ['', 0],
    ['orders', 6],
    ['naïve', 5],
    ['nai\u0308ve', 5],
    ['日本語', 6],
    ['한국', 4],
    ['ｆｕｌｌ', 8],
    ['🚢', 2],
    ['👩‍👩‍👧', 2],
    ['🇩🇪', 2],
    ['❤️', 2],
    ['→', 1],
  ]
  for (const [text, width] of cases) test.equal(displayWidth(text), width, text)
})

void t.test('columns line up whatever the script', async (test) => {
  const table = formatTable(
    [{ heading: 'NAME' }, { heading: 'COUNT', align: 'right' }, { heading: 'STATE' }],
    [
      ['orders', '7', 'open'],
      ['注文', '12345', 'paused'],
      ['🚢', '', ''],
    ],
  )
  test.equal(
    table,
    ['NAME    COUNT  STATE', 'orders      7  open', '注文    12345  paused', '🚢'].join('\n'),
  )
})

void t.test('a name cannot steer the terminal', async (test) => {
  test.equal(printable('a\u001b[31mb\u0007\r\nc\u202e'), 'a�[31mb���c�')
  test.notOk(formatFacts([['user', 'x\u001b[2J']]).includes('\u001b'))
  test.equal(padToWidth('ab', 4, 'right'), '  ab')
})
