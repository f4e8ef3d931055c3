/** Asks a side a question on a connection of its own: what its commands are, for instance. */
import RedisParser from 'redis-parser'
import { PontoonError } from '../../shared/errors.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { command } from '../../wire/redis/write.ts'
import { endpointName } from '../address.ts'
import { RedisDialogue, redisLogin, type RedisLoggedIn, type RedisLoginOptions } from './login.ts'

/** The reply to COMMAND, as nested arrays. */
export async function askCommands(options: RedisLoginOptions): Promise<unknown> {
  return withRedis(options, async (ask) => parseReply(await ask('COMMAND')))
}

/** Opens a connection, lets `use` ask, and closes it. An error reply rejects. */
export async function withRedis<Result>(
  options: RedisLoginOptions,
  use: (ask: (...words: string[]) => Promise<Buffer>, loggedIn: RedisLoggedIn) => Promise<Result>,
): Promise<Result> {
  const name = endpointName(options.endpoint)
  return withDialogue(options, (dialogue, loggedIn) =>
    use(async (...words) => {
      const reply = await dialogue.ask(command(...words))
      if (reply[0] !== marker.error) return reply
      throw new PontoonError('SERVER_REJECTED', `${name}: ${reply.toString('utf8', 1).trimEnd()}`)
    }, loggedIn),
  )
}

/** As withRedis, for who makes his own requests and reads the replies himself. */
export async function withDialogue<Result>(
  options: RedisLoginOptions,
  use: (dialogue: RedisDialogue, loggedIn: RedisLoggedIn) => Promise<Result>,
): Promise<Result> {
  const loggedIn = await redisLogin(options)
  const { socket, dialled } = loggedIn
  const name = endpointName(options.endpoint)
  const dialogue = new RedisDialogue(socket, dialled, name, options.timeoutMs)
  try {
    return await use(dialogue, loggedIn)
  } finally {
    dialogue.end()
    socket.on('error', () => undefined)
    socket.destroy()
  }
}

/** A whole RESP2 reply: numbers, texts, null and nested arrays of them. */
export function parseReply(bytes: Buffer): unknown {
  let parsed: unknown
  const parser = new RedisParser({
    returnReply: (reply: unknown) => {
      parsed = reply
    },
    returnError: (error: Error) => {
      parsed = error
    },
  })
  parser.execute(bytes)
  return parsed
}
