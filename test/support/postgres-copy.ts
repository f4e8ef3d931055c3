/**
 * A program that makes the readable copy of one major and says what it is; postgres.test.ts runs
 * two of them at once.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { postgresBinFolder, postgresMajors } from './postgres-binaries.ts'

const major = postgresMajors.find((known) => String(known) === process.argv[2])
if (major === undefined) throw new Error('which major?')
const server = join(postgresBinFolder(major), 'postgres')
process.stdout.write(execFileSync(server, ['--version'], { encoding: 'utf8' }))
