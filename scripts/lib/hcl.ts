/**
 * Reads the Terraform files of a folder: the parser is Terraform's own, compiled to WebAssembly,
 * and gives each block as JSON. Neighbours: ../terraform-schema.ts and test/terraform.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Json = string | number | boolean | null | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

export interface HclFile {
  readonly path: string
  readonly text: string
  readonly body: JsonObject
}

/** One `resource "aws_vpc" "this"` and the like; `labels` are what stands behind the keyword. */
export interface HclBlock {
  readonly file: string
  readonly labels: readonly string[]
  readonly body: JsonObject
}

interface Parser {
  parse(file: string, text: string): Promise<Json>
}

/** By a name that the compiler does not follow: the package's types bring those of a browser. */
async function loadParser(): Promise<Parser> {
  const name = '@cdktf/hcl2json'
  const loaded: Parser = await import(name)
  return loaded
}

/** All files below `folder` whose names end in one of `suffixes`. */
export async function readHcl(
  folder: string,
  suffixes: readonly string[],
): Promise<readonly HclFile[]> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.includes('.terraform/'))
    .filter((name) => suffixes.some((suffix) => name.endsWith(suffix)))
    .toSorted()
  const parser = await loadParser()
  return await Promise.all(
    names.map(async (path) => {
      const text = readFileSync(join(folder, path), 'utf8')
      return { path, text, body: asObject(await parser.parse(path, text)) }
    }),
  )
}

/** Blocks by keyword and number of labels, such as ('resource', 2). */
export function blocksOf(
  files: readonly HclFile[],
  keyword: string,
  labels: number,
): readonly HclBlock[] {
  return files.flatMap(({ path, body }) =>
    walk(body[keyword] ?? null, labels, []).map((found) => ({ file: path, ...found })),
  )
}

function walk(node: Json, depth: number, labels: readonly string[]): Omit<HclBlock, 'file'>[] {
  if (depth === 0) return asList(node).map((body) => ({ labels, body: asObject(body) }))
  return Object.entries(asObject(node)).flatMap(([label, below]) =>
    walk(below, depth - 1, [...labels, label]),
  )
}

/** Blocks without labels, such as the `validation` of a variable. */
export function nested(body: JsonObject, keyword: string): readonly JsonObject[] {
  return asList(body[keyword] ?? null).map(asObject)
}

export function asList(value: Json): readonly Json[] {
  if (value === null) return []
  return isList(value) ? value : [value]
}

export function asObject(value: Json): JsonObject {
  return value !== null && typeof value === 'object' && !isList(value) ? value : {}
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}
