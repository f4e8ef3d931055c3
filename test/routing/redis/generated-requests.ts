/**
 * Makes requests of any command out of the server's own description of its arguments (COMMAND DOCS),
 * so that key positions can be compared with COMMAND GETKEYS for commands nobody thought of.
 */
import { itemsOf, textOf } from '../../support/resp.ts'
import type { RespValue } from '../../support/resp.ts'

interface Argument {
  readonly name: string
  readonly type: string
  readonly token: string | undefined
  readonly flags: readonly string[]
  readonly children: readonly Argument[]
}

export interface DescribedCommand {
  /** The name, and the subcommand's. */
  readonly words: readonly string[]
  readonly arguments: readonly Argument[]
}

/** From the reply to COMMAND DOCS, RESP2. */
export function describedCommands(reply: RespValue): DescribedCommand[] {
  return [...pairs(reply)].flatMap(([name, docs]) => {
    const fields = pairs(docs)
    const subcommands = fields.get('subcommands')
    const own = {
      words: [name],
      arguments: itemsOf(fields.get('arguments')).map(readArgument),
    }
    if (subcommands === undefined) return [own]
    return [...pairs(subcommands)].map(([sub, subDocs]) => ({
      words: sub.split('|'),
      arguments: itemsOf(pairs(subDocs).get('arguments')).map(readArgument),
    }))
  })
}

/** `random` gives numbers from 0 to below 1. */
export function generateRequest(command: DescribedCommand, random: () => number): string[] {
  return [...command.words, ...new Generator(random).list(command.arguments)]
}

function readArgument(value: RespValue): Argument {
  const fields = pairs(value)
  const token = fields.get('token')
  return {
    name: textOf(fields.get('name')),
    type: textOf(fields.get('type')),
    token: token === undefined ? undefined : textOf(token).replace(/^""$/, ''),
    flags: itemsOf(fields.get('flags')).map(textOf),
    children: itemsOf(fields.get('arguments')).map(readArgument),
  }
}

class Generator {
  readonly #random: () => number
  #made = 0

  constructor(random: () => number) {
    this.#random = random
  }

  list(list: readonly Argument[]): string[] {
    let numkeys: number | undefined
    // XREAD names as many ids as keys.
    const paired = list.length === 2 && list.every(({ flags }) => flags.includes('multiple'))
    const repeats = 1 + this.#below(3)
    return list.flatMap((argument) => {
      if (argument.name === 'numkeys') {
        const next = list[list.indexOf(argument) + 1]
        numkeys = this.#below(3) + (next?.flags.includes('optional') === true ? 0 : 1)
        return [String(numkeys)]
      }
      if (argument.type === 'key' && numkeys !== undefined) {
        const count = numkeys
        numkeys = undefined
        return Array.from({ length: count }, () => this.#value(argument)).flat()
      }
      return this.#argument(argument, paired ? repeats : undefined)
    })
  }

  #argument(argument: Argument, given: number | undefined): string[] {
    if (argument.flags.includes('optional') && this.#random() < 0.5) return []
    const several = argument.flags.includes('multiple')
    const count = given ?? (several ? 1 + this.#below(3) : 1)
    const token = argument.token === undefined ? [] : [argument.token]
    if (argument.type === 'pure-token') return token
    const values = Array.from({ length: count }, () => this.#value(argument))
    if (argument.flags.includes('multiple_token')) {
      return values.flatMap((value) => [...token, ...value])
    }
    return [...token, ...values.flat()]
  }

  #value(argument: Argument): string[] {
    switch (argument.type) {
      case 'key':
        this.#made += 1
        return [`key:${this.#made}`]
      case 'oneof': {
        const choice = argument.children[this.#below(argument.children.length)]
        return choice === undefined ? [] : this.#argument({ ...choice, flags: [] }, undefined)
      }
      case 'block':
        return this.list(argument.children)
      case 'pattern':
        return ['a*']
      case 'string':
        return ['text']
      default:
        return ['7']
    }
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end)
  }
}

function pairs(value: RespValue): Map<string, RespValue> {
  const flat = itemsOf(value)
  const map = new Map<string, RespValue>()
  for (let at = 0; at + 1 < flat.length; at += 2) map.set(textOf(flat[at]), flat[at + 1] ?? null)
  return map
}
