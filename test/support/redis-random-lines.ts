/**
 * Commands at random for one client, of all kinds that leave something on a connection, with keys and
 * channels of its own. Whoever plays them (redis-differential.ts) compares two servers, so what two
 * servers answer differently is not drawn:
 *
 * - CLIENT TRACKING with BCAST: the server gathers what it tells while it has something to do;
 * - UNSUBSCRIBE of several channels at once: they come in the order of a hash table;
 * - and, where Pontoon differs and says so (docs/redis.md), subscriptions inside MULTI, WAIT or
 *   tracking right ahead of the end, a lot behind what waits for ever, and CLIENT GETNAME behind HELLO
 *   in the same MULTI.
 */
export type Words = readonly string[]

export interface LineKinds {
  /** It says CLIENT REPLY. */
  readonly isSilent: boolean
  /** It leaves, or sends what is no command, behind its last line. */
  readonly leaves: boolean
  /** What waits for nothing does so for ever: until its client leaves. */
  readonly waitsForEver: boolean
}

/** Not a command: sent as it is. */
export const typed = 'typed'

const types = 'map set push verbatim double bignum null attrib true string'.split(' ')

export class RandomLines {
  readonly prefix: string
  readonly #random: () => number
  readonly #kinds: LineKinds
  #made = 0

  constructor(prefix: string, random: () => number, kinds: LineKinds) {
    this.prefix = prefix
    this.#random = random
    this.#kinds = kinds
  }

  /** Some that belong together. */
  next(): Words[] {
    for (;;) {
      const lines = this.#draw().map((line) => (typeof line === 'string' ? line.split(' ') : line))
      if (!this.#isExcluded(lines)) return lines
    }
  }

  below(end: number): number {
    return Math.floor(this.#random() * end)
  }

  #of<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to draw from')
    return item
  }

  #isExcluded(lines: readonly Words[]): boolean {
    const text = lines.map((words) => words.join(' ')).join('|')
    if (this.#kinds.leaves && /^WAIT|TRACKING ON/m.test(text.replaceAll('|', '\n'))) return true
    return !this.#kinds.isSilent && text.includes('CLIENT REPLY')
  }

  #draw(): readonly (string | Words)[] {
    const dice = this.below(100)
    if (dice < 42) return [this.#plain()]
    if (dice < 45) return this.#large()
    if (dice < 56) return this.#of(this.#transactions())
    if (dice < 66) return this.#of(this.#blocking())
    if (dice < 74) return this.#of(this.#listening())
    if (dice < 80) return [this.#of(this.#connection())]
    if (dice < 84) return this.#of(this.#silent())
    if (dice < 89) return this.#of(this.#tracking())
    if (dice < 95) return this.#of(this.#scripts())
    if (dice < 97) return this.#of(this.#monitor())
    return [[typed, this.#of(this.#typed())]]
  }

  #token(): string {
    this.#made += 1
    return `v${this.#made}`
  }

  #key(kind: string): string {
    return `${this.prefix}${kind}`
  }

  get #channel(): string {
    return this.#key('c')
  }

  #plain(): string {
    const [s, n, l, h] = [this.#key('s'), this.#key('n'), this.#key('l'), this.#key('h')]
    const [z, t, token] = [this.#key('z'), this.#key('t'), this.#token()]
    return this.#of([
      `SET ${s} ${token}`,
      `GET ${s}`,
      `APPEND ${s} ${token}`,
      `INCR ${n}`,
      `INCR ${l}`,
      `RPUSH ${l} ${token}`,
      `LRANGE ${l} 0 -1`,
      `LPOP ${l}`,
      `SORT ${l} ALPHA`,
      `HSET ${h} f ${token}`,
      `HGETALL ${h}`,
      `MGET ${s} ${n} ${l}`,
      `DEL ${s} ${n}`,
      `ZADD ${z} 1.5 a`,
      `ZSCORE ${z} a`,
      `ZRANGE ${z} 0 -1 WITHSCORES`,
      `TYPE ${s}`,
      `XADD ${t} ${this.#made}-1 f v`,
      `XRANGE ${t} - +`,
      `XINFO GROUPS ${t}`,
      `SADD ${h} x`,
      `SMISMEMBER ${this.#key('set')} a`,
      `OBJECT ENCODING ${n}`,
      'OBJECT HELP',
      'GET',
      'NOSUCH x',
      'CONFIG NOSUCH',
      'PING',
      `PING ${token}`,
      'WAIT 0 1',
      'RANDOMKEY x',
      'COMMAND COUNT',
      'COMMAND GETKEYS GET a',
      `INCRBYFLOAT ${this.#key('f')} 1.5`,
      `EXPIRE ${n} 1000`,
      `GETEX ${s}`,
      `COPY ${s} ${this.#key('s2')} REPLACE`,
      `GEOADD ${this.#key('geo')} 1 2 x`,
      `GEOPOS ${this.#key('geo')} x`,
      `LMPOP 1 ${l} LEFT`,
    ])
  }

  #large(): readonly Words[] {
    const times = this.#kinds.waitsForEver ? 5 : this.#of([5, 20_000, 150_000])
    const [key, value] = [this.#key('big'), this.#token().repeat(times)]
    return [
      ['SET', key, value],
      ['GET', key],
    ]
  }

  #transactions(): readonly (readonly string[])[] {
    const [s, n, h, c] = [this.#key('s'), this.#key('n'), this.#key('h'), this.#channel]
    const lines = [
      `MULTI|INCR ${n}|EXEC`,
      `MULTI|GET ${s}|NOSUCH|EXEC`,
      `MULTI|INCR ${n}|DISCARD`,
      `MULTI|INCR ${n}|EXEC x|EXEC`,
      `MULTI x|INCR ${n}|EXEC`,
      `MULTI|MULTI|WATCH ${n}|EXEC`,
      `MULTI|LPUSH ${s} x|INCR ${s}|HGETALL ${h}|EXEC`,
      `MULTI|BLPOP ${this.#key('q')} 0|XREAD BLOCK 0 STREAMS ${this.#key('t')} $|EXEC`,
      `MULTI|CLIENT GETNAME|SELECT 1|INCR ${n}|SELECT 0|EXEC`,
      `MULTI|HELLO 3|HGETALL ${h}|EXEC|HGETALL ${h}`,
      `MULTI|CLIENT REPLY OFF|INCR ${n}|EXEC|INCR ${n}|CLIENT REPLY ON`,
      `MULTI|CLIENT NO-EVICT ON|SCRIPT EXISTS x|EXEC`,
      `MULTI|PUBLISH ${c} m|EXEC`,
      `MULTI|RESET|INCR ${n}`,
      `WATCH ${n}|MULTI|INCR ${n}|EXEC`,
      `WATCH ${n}|INCR ${n}|MULTI|INCR ${n}|EXEC`,
      `WATCH ${n}|RESET|INCR ${n}|MULTI|INCR ${n}|EXEC`,
      `WATCH ${n}|UNWATCH`,
      `WATCH ${n}`,
      'EXEC',
      'DISCARD',
    ]
    return lines.map((line) => line.split('|'))
  }

  #blocking(): readonly (readonly string[])[] {
    const [q, t, none] = [this.#key('q'), this.#key('t'), this.#key('none')]
    // Whether a short time is over before its client has left is a matter of luck.
    const [shortly, shortlyMs] = this.#kinds.waitsForEver ? ['0', '0'] : ['0.01', '10']
    const lines = [
      `RPUSH ${q} ${this.#token()}|BLPOP ${q} 0`,
      `RPUSH ${q} a b|BRPOP ${none} ${q} 0|BLMOVE ${q} ${this.#key('l')} LEFT RIGHT 0`,
      `RPUSH ${q} a|BLMPOP 0 1 ${q} LEFT`,
      `RPUSH ${q} a|BRPOPLPUSH ${q} ${this.#key('l')} 0`,
      `ZADD ${this.#key('zq')} 1 a 2 b|BZPOPMIN ${this.#key('zq')} 0|BZMPOP 0 1 ${this.#key('zq')} MAX`,
      `XADD ${t} ${this.#made}-2 f v|XREAD BLOCK 0 STREAMS ${t} 0`,
      `XGROUP CREATE ${t} g 0 MKSTREAM|XADD ${t} ${this.#made}-3 f v|XREADGROUP GROUP g me BLOCK 0 COUNT 1 STREAMS ${t} >`,
      `XREADGROUP GROUP none me BLOCK 0 STREAMS ${t} >`,
      `SET ${this.#key('str')} x|BLPOP ${this.#key('str')} 0`,
      `BLPOP ${q} x|BLPOP ${q}|BLPOP ${q} -1`,
      `BLPOP ${none} ${shortly}`,
      `BZPOPMAX ${none} ${shortly}`,
      `BLMOVE ${none} ${none} LEFT LEFT ${shortly}`,
      `XREAD BLOCK ${shortlyMs} STREAMS ${none} $`,
    ]
    return lines.map((line) => line.split('|'))
  }

  #listening(): readonly (readonly string[])[] {
    const c = this.#channel
    const lines = [
      `SUBSCRIBE ${c} ${c}`,
      'UNSUBSCRIBE',
      `UNSUBSCRIBE ${c}`,
      'SUBSCRIBE',
      `PSUBSCRIBE ${c}*`,
      'PUNSUBSCRIBE',
      `SSUBSCRIBE ${c}`,
      'SUNSUBSCRIBE',
      `PUBLISH ${c} ${this.#token()}`,
      `SPUBLISH ${c} ${this.#token()}`,
      `SUBSCRIBE ${c}|UNSUBSCRIBE ${c}`,
      `SUBSCRIBE ${c}|PING z|UNSUBSCRIBE|PUNSUBSCRIBE|SUNSUBSCRIBE`,
      `PSUBSCRIBE ${c}*|SUBSCRIBE ${c}|PUBLISH ${c} y|PUNSUBSCRIBE|UNSUBSCRIBE|SUNSUBSCRIBE`,
    ]
    return lines.map((line) => line.split('|'))
  }

  #connection(): readonly string[] {
    return [
      'HELLO',
      'HELLO 2',
      'HELLO 3',
      'HELLO 3',
      'HELLO 4',
      'HELLO 3 SETNAME me',
      'HELLO 2 AUTH',
      'SELECT 0',
      'SELECT 1',
      'SELECT 99',
      'SELECT x',
      'RESET',
      'RESET',
      'AUTH a b c',
      'CLIENT SETNAME me',
      'CLIENT GETNAME',
      'CLIENT INFO x',
      'CLIENT NOSUCH',
      'READONLY',
    ]
  }

  #silent(): readonly (readonly string[])[] {
    const [n, q, c] = [this.#key('n'), this.#key('q'), this.#channel]
    const lines = [
      `CLIENT REPLY OFF|INCR ${n}|GET ${n}|CLIENT REPLY ON`,
      `CLIENT REPLY OFF|SUBSCRIBE ${c}|UNSUBSCRIBE ${c}|CLIENT REPLY ON`,
      `CLIENT REPLY OFF|RPUSH ${q} x|BLPOP ${q} 0|CLIENT REPLY ON`,
      `CLIENT REPLY SKIP|INCR ${n}|GET ${n}`,
      `CLIENT REPLY SKIP|MULTI|INCR ${n}|EXEC`,
      `CLIENT REPLY SKIP|GET ${this.#key('big')}|GET ${this.#key('big')}`,
      ...['SELECT 1', 'HELLO 3', `SUBSCRIBE ${c}`].map((line) => `CLIENT REPLY SKIP|${line}`),
    ]
    return lines.map((line) => line.split('|'))
  }

  #tracking(): readonly (readonly string[])[] {
    const [s, n] = [this.#key('s'), this.#key('n')]
    const lines = [
      'CLIENT TRACKING ON',
      'CLIENT TRACKING OFF',
      'CLIENT TRACKINGINFO',
      'CLIENT GETREDIR',
      'CLIENT CACHING YES',
      'CLIENT NO-EVICT ON',
      'CLIENT NO-TOUCH ON',
      `CLIENT TRACKING ON OPTIN|CLIENT CACHING YES|GET ${s}|GET ${n}|SET ${s} own`,
      `CLIENT TRACKING ON OPTOUT|CLIENT CACHING NO|GET ${s}|SET ${s} own`,
      `CLIENT TRACKING ON NOLOOP|GET ${s}|SET ${s} own|CLIENT TRACKING OFF`,
      `CLIENT TRACKING ON OPTIN|MULTI|CLIENT CACHING YES|GET ${s}|EXEC|SET ${s} own`,
      'CLIENT TRACKING ON REDIRECT 99999999',
    ]
    return lines.map((line) => line.split('|'))
  }

  #scripts(): readonly (readonly Words[])[] {
    const [n, h, c] = [this.#key('n'), this.#key('h'), this.#channel]
    const name = `f${this.prefix.replace(':', '')}`
    const library = `#!lua name=${name}\nredis.register_function('${name}', function(keys) return {redis.call('INCR', keys[1]), {double=1.5}} end)`
    return [
      [['EVALSHA', '0'.repeat(40), '1', n], ...evaluate("return redis.call('INCR', KEYS[1])", n)],
      [
        ['FUNCTION', 'LOAD', 'REPLACE', library],
        ['FCALL', name, '1', n],
      ],
      [['FCALL', name, '1', n]],
      [['FCALL_RO', name, '1', n]],
      [['FUNCTION', 'DELETE', name]],
      [['SCRIPT', 'LOAD', `return '${name}'`]],
      [['DEBUG', 'PROTOCOL', this.#of(types)]],
      evaluate("redis.setresp(3); return redis.call('HGETALL', KEYS[1])", h),
      evaluate('return redis.error_reply("MY error")'),
      evaluate('error("x")'),
      evaluate("return redis.call('BLPOP', KEYS[1], 0)", this.#key('q')),
      evaluate("return redis.call('SUBSCRIBE', KEYS[1])", c),
      evaluate("return redis.call('PUBLISH', KEYS[1], 'of a script')", c),
      evaluate("redis.call('SELECT', 1); return redis.call('INCR', KEYS[1])", n),
    ]
  }

  #monitor(): readonly (readonly string[])[] {
    const lines = [
      'MONITOR|PING|RESET',
      'MONITOR|CLIENT GETNAME|RESET|HELLO 3',
      'MONITOR|CLIENT REPLY SKIP|RESET',
      'RESET|RESET',
    ]
    return lines.map((line) => line.split('|'))
  }

  #typed(): readonly string[] {
    const s = this.#key('s')
    return [
      'PING inline\r\n',
      '\r\n',
      '*0\r\n',
      '*-1\r\n',
      'HELLO 3\r\n',
      'CLIENT GETNAME\r\n',
      `GET ${s}\r\n`,
      `SET ${s} "a b"\r\n`,
      `SUBSCRIBE ${this.#channel}\r\n`,
    ]
  }
}

function evaluate(script: string, ...keys: readonly string[]): Words[] {
  return [['EVAL', script, String(keys.length), ...keys]]
}
