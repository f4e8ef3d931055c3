/**
 * Calls that have a better place or a better form here, each with its replacement, and marks of
 * unfinished work. Neighbour: ../style.test.ts.
 */
import { codeOnly, lineOf } from './source.ts'
import type { Finding, SourceFile } from './source.ts'

interface Ban {
  readonly pattern: RegExp
  /** Where it applies: the start of paths. */
  readonly within: readonly string[]
  /** Where it is right all the same. */
  readonly except?: readonly string[]
  readonly instead: string
}

const core = ['shared', 'wire', 'config', 'net', 'store', 'routing', 'proxy'].map(
  (folder) => `src/${folder}/`,
)

const bans: readonly Ban[] = [
  {
    pattern: /\bconsole\.\w+\(/g,
    within: ['src/'],
    except: ['src/cli/', 'src/main.ts', 'src/control/console/'],
    instead: 'take a Log and write to it',
  },
  {
    pattern: /\bprocess\.exit\(/g,
    within: ['src/'],
    // serve: a second signal must end the process whatever still runs.
    except: ['src/main.ts', 'src/cli/serve.ts'],
    instead: 'throw a PontoonError, main.ts maps it to an exit code',
  },
  {
    pattern: /\bMath\.random\(/g,
    within: ['src/'],
    instead: 'randomBytes for secrets, a counter or low-discrepancy sequence for dealing out',
  },
  {
    pattern: /\b(?:Date\.now\(|new Date\(\s*\))/g,
    within: ['src/'],
    // Commands run once; the folder lock compares with the file system's own clock.
    except: ['src/shared/clock.ts', 'src/control/console/', 'src/cli/', 'src/store/folder-lock.ts'],
    instead: 'take a Clock; its wallMs is this, injectable',
  },
  {
    pattern: /\bperformance\.now\(/g,
    within: ['src/routing/', 'src/store/', 'src/proxy/'],
    instead: 'take a Clock, so that tests need no sleeps',
  },
  {
    pattern: /\bprocess\.env\b/g,
    within: core,
    except: ['src/config/'],
    instead: 'a setting in the config schema; ${ENV} is substituted there',
  },
  {
    pattern: /\b(?:readFile|writeFile|appendFile|exec|spawn|pbkdf2|scrypt)Sync\(/g,
    within: ['src/wire/', 'src/routing/', 'src/proxy/'],
    instead: 'the asynchronous form; this code runs beside live traffic',
  },
  {
    pattern: /\bextends EventEmitter\b/g,
    within: ['src/'],
    instead: 'callbacks handed in by the owner',
  },
  { pattern: /\b(?:eval|new Function)\(/g, within: ['src/', 'scripts/', 'test/'], instead: 'code' },
  { pattern: /\bnew Buffer\(/g, within: ['src/', 'scripts/', 'test/'], instead: 'Buffer.alloc' },
  { pattern: /\brequire\(/g, within: ['src/', 'test/'], instead: 'import' },
  {
    pattern: /\b(?:t|tap|test)\.only\(|\bonly: true\b/g,
    within: ['test/'],
    instead: 'the test itself; to run one, use npm test -- FILE -g NAME',
  },
]

export function bannedCalls(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) => {
    const rules = bans.filter((ban) => applies(ban, file.path))
    if (rules.length === 0) return []
    const code = codeOnly(file.text)
    return rules.flatMap((ban) =>
      [...code.matchAll(ban.pattern)].map(
        (match) => `${file.path}:${lineOf(code, match.index)} has ${match[0]}; use: ${ban.instead}`,
      ),
    )
  })
}

function applies(ban: Ban, path: string): boolean {
  const under = (starts: readonly string[]): boolean =>
    starts.some((start) => path.startsWith(start))
  return under(ban.within) && !under(ban.except ?? [])
}

// Backwards, so that this file does not find itself.
const marksReversed = ['ODOT', 'EMXIF', 'KCAH', 'PIW']
export const marks = marksReversed.map((mark) => mark.split('').toReversed().join(''))
const markPattern = new RegExp(`\\b(?:${marks.join('|')})\\b`, 'g')

export function unfinishedMarks(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) =>
    [...file.text.matchAll(markPattern)].map(
      (match) =>
        `${file.path}:${lineOf(file.text, match.index)} has the mark ${match[0]}: do it or write an issue`,
    ),
  )
}
