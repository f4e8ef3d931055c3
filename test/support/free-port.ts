/**
 * Finds a TCP port that nobody listens on. Ports below the kernel's ephemeral range, so that an
 * outgoing connection cannot take a server's port while the server is down for a restart.
 */
import { createServer } from 'node:net'

const lowest = 15_000
const highest = 31_999
const attemptsMax = 50

export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1))
    if (await canListen(port, host)) return port
  }
  throw new Error(`no free port found in ${attemptsMax} attempts`)
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
