/** How an error of Pontoon's own looks to a Redis client; the only place that maps it. */
import { RedisLoginError } from '../../net/redis/login.ts'
import type { PontoonError } from '../../shared/errors.ts'
import { errorReply } from '../../wire/redis/write.ts'

/** What a client may send again as it is: nothing of it was done. */
const tryAgain = 'TRYAGAIN'

/** A refusal of the server itself is shown in its own words; of a login only where it is the client's. */
export function redisError(error: PontoonError, isOwnLogin = false): Buffer {
  if (error instanceof RedisLoginError && (isOwnLogin || error.code !== 'SERVER_AUTH_FAILED'))
    return error.reply
  if (error.code === 'CLIENT_PROTOCOL') return errorReply(`ERR ${error.message}`)
  const word = error.kind.retrySafe ? tryAgain : 'ERR'
  return errorReply(`${word} ${error.message} (Pontoon error ${error.code})`)
}
