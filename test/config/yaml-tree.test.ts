import * as fc from 'fast-check'
import t from 'tap'
import { ConfigError } from '../../src/config/mistake.ts'
import { toPlain } from '../../src/config/tree-paths.ts'
import { parseYaml } from '../../src/config/yaml-tree.ts'

void t.test('placeholders come through in every place of a file', async (test) => {
  const text = `
block: \${A}
flow: { a: \${A}, b: [\${B:-x, y}, c], "c": "\${A}" }
quoted: 'it''s \${A}'
double: "tab\\t\${A:-"#"}"
folded: >-
  one \${A:-# no comment}
  two
\${KEY}: 1
escaped: { a: $\${A} }
`
  test.strictSame(toPlain(parseYaml(text, 'f.yml')), {
    block: '${A}',
    flow: { a: '${A}', b: ['${B:-x, y}', 'c'], c: '${A}' },
    quoted: "it's ${A}",
    double: 'tab\t${A:-"#"}',
    folded: 'one ${A:-# no comment} two',
    '${KEY}': 1,
    escaped: { a: '$${A}' },
  })
})

void t.test('remembers lines also behind placeholders', async (test) => {
  const root = parseYaml('a: { b: ${X:-long default} }\n\nc:\n  d: 1\n', 'f.yml')
  test.equal(root.entries.get('a')?.keyOrigin.line, 1)
  test.equal(root.entries.get('c')?.keyOrigin.line, 3)
  test.equal(root.entries.get('c')?.value.origin.line, 4)
})

void t.test('any text is read or refused, nothing else', async () => {
  const piece = fc.constantFrom(
    '${A}', '${', '}', '{', '[', ']', ': ', '- ', '\n', '  ', '&a ', '*a', '<<: ', '"', "'", '#',
    '|', '>', '!t ', '? ', '\t', 'x', '1', '\ue07b', '$\ue07b', '\ue07d', '---\n', '%YAML 9\n',
  ) // prettier-ignore
  const text = fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 30 })
  fc.assert(
    fc.property(text, (pieces) => {
      try {
        toPlain(parseYaml(pieces.join(''), 'f.yml'))
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
      }
    }),
    { numRuns: 500 },
  )
})
