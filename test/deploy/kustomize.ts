/**
 * Renders a kustomization as far as deploy/kubernetes goes: resources, namespace, images and
 * patches by file, strategic merge with lists of named entries. Anything else in a kustomization is
 * an error, not ignored. A test holds it to `kubectl kustomize` where that exists.
 */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'

export type Manifest = Record<string, unknown> & {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string } & Record<string, unknown>
}

const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
})
const kustomization = z.strictObject({
  apiVersion: z.literal('kustomize.config.k8s.io/v1beta1'),
  kind: z.literal('Kustomization'),
  namespace: z.string().optional(),
  resources: z.array(z.string()),
  images: z
    .array(z.strictObject({ name: z.string(), newName: z.string(), newTag: z.string() }))
    .default([]),
  patches: z.array(z.strictObject({ path: z.string() })).default([]),
})
type Kustomization = z.infer<typeof kustomization>

export function render(folder: string): readonly Manifest[] {
  const own = kustomization.parse(parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')))
  const patches = own.patches.flatMap(({ path }) => readManifests(join(folder, path)))
  const resources = own.resources.flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? render(path) : readManifests(path)
  })
  for (const patch of patches) {
    if (!resources.some((one) => sameObject(one, patch)))
      throw new Error(`${folder}: nothing is called ${patch.kind} ${patch.metadata.name}`)
  }
  return resources.map((one) => {
    const patched = patches.filter((patch) => sameObject(one, patch)).reduce<unknown>(merge, one)
    const named = manifest.parse(withImages(patched, own.images))
    return own.namespace === undefined
      ? named
      : { ...named, metadata: { ...named.metadata, namespace: own.namespace } }
  })
}

export function readManifests(file: string): readonly Manifest[] {
  return parseManifests(readFileSync(file, 'utf8'))
}

export function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => manifest.parse(document.toJS()))
}

function sameObject(one: Manifest, other: Manifest): boolean {
  return one.kind === other.kind && one.metadata.name === other.metadata.name
}

/** Mappings key by key, lists of named entries by name, everything else replaced. */
function merge(below: unknown, above: unknown): unknown {
  if (isNamedList(below) && isNamedList(above)) {
    const patched = below.map((one) => {
      const patch = above.find(({ name }) => name === one.name)
      return patch === undefined ? one : merge(one, patch)
    })
    return [...patched, ...above.filter(({ name }) => !below.some((one) => one.name === name))]
  }
  if (!isMapping(below) || !isMapping(above)) return above
  const merged = new Map(Object.entries(below))
  for (const [key, value] of Object.entries(above)) merged.set(key, merge(merged.get(key), value))
  return Object.fromEntries(merged)
}

function withImages(node: unknown, images: Kustomization['images']): unknown {
  if (Array.isArray(node)) return node.map((one: unknown) => withImages(one, images))
  if (!isMapping(node)) return node
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => {
      const image = key === 'image' ? images.find(({ name }) => name === value) : undefined
      return [
        key,
        image === undefined ? withImages(value, images) : `${image.newName}:${image.newTag}`,
      ]
    }),
  )
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNamedList(
  value: unknown,
): value is readonly ({ name: string } & Record<string, unknown>)[] {
  return (
    Array.isArray(value) && value.every((one) => isMapping(one) && typeof one['name'] === 'string')
  )
}
