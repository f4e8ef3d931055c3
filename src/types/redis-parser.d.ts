declare module 'redis-parser' {
  interface Callbacks {
    returnReply(reply: unknown): void
    returnError(error: Error): void
  }

  export default class RedisParser {
    constructor(callbacks: Callbacks)
    execute(bytes: Buffer): void
  }
}
