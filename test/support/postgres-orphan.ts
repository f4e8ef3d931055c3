/**
 * A program that starts a server and ends without stopping it, in the way its argument says.
 * postgres.test.ts runs it and looks whether the server is gone.
 */
import { startPostgres } from './postgres.ts'

const how = process.argv[2]
const server = await startPostgres({ major: 16, auth: 'trust' })
if (how === 'hang') server.pause()
process.stdout.write(`${server.pid} ${server.folder}\n`)
if (how === 'SIGTERM' || how === 'SIGKILL') process.kill(process.pid, how)
else setImmediate(() => fail())

// Keeps the process alive until the signal arrives.
setTimeout(() => undefined, 10_000)

function fail(): never {
  throw new Error('deliberate')
}
