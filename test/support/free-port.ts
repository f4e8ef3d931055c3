/**
 * Finds a TCP port that nobody listens on, and nobody else finds while this process lives. Ports
 * below the kernel's ephemeral range, so that an outgoing connection cannot take a server's port
 * while the server is down for a restart.
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

const lowest = 15_000
const highest = 31_999
const attemptsMax = 50

export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1))
    if ((await reserve(port, host)) && (await canListen(port, host))) return port
  }
  throw new Error(`no free port found in ${attemptsMax} attempts`)
}

/**
 * By a socket of UDP, which nothing else uses here: the files that run at the same time ask too, and
 * a server may listen only seconds later, or never.
 */
function reserve(port: number, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    socket.once('error', () => {
      socket.close()
      resolve(false)
    })
    socket.bind({ port, address, exclusive: true }, () => {
      socket.unref()
      resolve(true)
    })
  })
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
