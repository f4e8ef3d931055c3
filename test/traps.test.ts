/**
 * docs/traps.md names a test for each trap. Every test that it names must exist, under that very
 * name, in that file; every trap must name one or say why there is none.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import tap from 'tap'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

interface Trap {
  readonly words: string
  readonly tests: { readonly file: string; readonly name: string }[]
  readonly untested: string[]
}

/** A trap is a bullet, its tests are the bullets below it. */
function trapsOf(page: string): Trap[] {
  const traps: Trap[] = []
  for (const line of page.split('\n')) {
    const trap = /^- (.+)$/.exec(line)
    if (trap !== null) traps.push({ words: trap[1] ?? '', tests: [], untested: [] })
    const detail = /^ {2}- (.+)$/.exec(line)?.[1]
    if (detail === undefined) continue
    const named = /^`(test\/[^`]+)` › (.+)$/.exec(detail)
    if (named === null) traps.at(-1)?.untested.push(detail)
    else traps.at(-1)?.tests.push({ file: named[1] ?? '', name: named[2] ?? '' })
  }
  return traps
}

/** Names of tests, and of the sessions in a corpus; `…` in place of what is filled in. */
function testNames(source: string): Set<string> {
  const names = new Set<string>()
  const pattern = /(?:\btest\(|\beachMode\(|\bname:)\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`)/g
  for (const [, single, double, template] of source.matchAll(pattern)) {
    const name = single ?? double ?? template ?? ''
    names.add(name.replaceAll(/\$\{[^}]*\}/g, '…').replaceAll("\\'", "'"))
  }
  return names
}

function mistakes(traps: readonly Trap[]): string[] {
  return traps.flatMap(({ words, tests, untested }) => {
    const found = tests.flatMap(({ file, name }) => {
      if (!existsSync(join(root, file))) return [`${file} does not exist`]
      if (testNames(readFileSync(join(root, file), 'utf8')).has(name)) return []
      return [`${file} has no test '${name}'`]
    })
    const odd = untested.filter((detail) => !/^Untested: .{10,}/.test(detail))
    if (tests.length === 0 && untested.length === 0) found.push(`nothing holds: ${words}`)
    return [...found, ...odd.map((detail) => `neither a test nor a reason: ${detail}`)]
  })
}

await tap.test('docs/traps.md', async (t) => {
  const traps = trapsOf(readFileSync(join(root, 'docs/traps.md'), 'utf8'))
  t.ok(traps.length > 50, `${traps.length} traps`)
  t.strictSame(mistakes(traps), [])
})

const found = (lines: string): string[] => mistakes(trapsOf(lines))

await tap.test('the check finds what it is for', async (t) => {
  const self = 'test/traps.test.ts'
  t.strictSame(found(`- a\n  - \`${self}\` › docs/traps.md`), [])
  t.strictSame(found('- a\n  - Untested: for a good reason'), [])
  t.strictSame(found('- a\n- b\n  - Untested: for a good reason'), ['nothing holds: a'])
  t.match(found(`- a\n  - \`${self}\` › no such thing`), [/has no test 'no such thing'/])
  t.match(found('- a\n  - `test/nowhere.ts` › x'), [/does not exist/])
  t.match(found('- a\n  - some words'), [/neither a test nor a reason/])
  t.strictSame([...testNames('test(`${a} b`, () => 1)')], ['… b'])
})
