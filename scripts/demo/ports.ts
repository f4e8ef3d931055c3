/** Takes the port that the documentation names, or another one when somebody listens there. */
import { createServer } from 'node:net'
import { freePort } from '../../test/support/free-port.ts'

/** `localhost` may mean either loopback, so both must be free. */
const loopbacks = ['127.0.0.1', '::1']

export async function preferPort(wanted: number): Promise<number> {
  if (wanted === 0) return freePort()
  const free = await Promise.all(loopbacks.map((host) => isFree(wanted, host)))
  return free.every(Boolean) ? wanted : freePort()
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    // A machine without IPv6 has nobody listening there either.
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
