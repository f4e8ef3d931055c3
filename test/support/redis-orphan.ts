/**
 * A program that starts a Redis server and is ended without stopping it. redis.test.ts runs it and
 * looks whether the server is gone.
 */
import { startRedis } from './redis.ts'

const server = await startRedis()
process.stdout.write(`${server.pid} ${server.folder}\n`)
process.kill(process.pid, process.argv[2] === 'SIGKILL' ? 'SIGKILL' : 'SIGTERM')

// Keeps the process alive until the signal arrives.
setTimeout(() => undefined, 10_000)
