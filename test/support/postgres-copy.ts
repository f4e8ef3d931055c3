/**
 * A program that makes the readable copy of one major and says what it is; postgres.test.ts runs
 * two of them at once.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { majorOf, postgresBinFolder } from './postgres-binaries.ts'

const server = join(postgresBinFolder(majorOf(process.argv[2] ?? '')), 'postgres')
process.stdout.write(execFileSync(server, ['--version'], { encoding: 'utf8' }))
