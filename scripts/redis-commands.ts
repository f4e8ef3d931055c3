/**
 * Writes src/routing/redis/known-commands.ts from the reply to COMMAND of the redis-server that is
 * installed, and docs/redis-commands.md from the table that Pontoon makes of it.
 */
import { writeFileSync } from 'node:fs'
import { startRedis } from '../test/support/redis.ts'
import { commandPage, knownCommandsSource } from './lib/redis-command-page.ts'

const server = await startRedis()
try {
  const reply = await server.call('COMMAND')
  const version = await server.version()
  const root = new URL('../', import.meta.url)
  writeFileSync(
    new URL('src/routing/redis/known-commands.ts', root),
    knownCommandsSource(reply, version),
  )
  writeFileSync(new URL('docs/redis-commands.md', root), await commandPage(reply, version))
} finally {
  await server.stop()
}
