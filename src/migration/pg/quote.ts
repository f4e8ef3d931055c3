/** SQL made of names and values that come from a catalogue: always quoted, never pasted. */

/** A name of a relation with its schema, both as the catalogue has them. */
export interface QualifiedName {
  readonly schema: string
  readonly name: string
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function qualified({ schema, name }: QualifiedName): string {
  return `${identifier(schema)}.${identifier(name)}`
}

/** Safe whatever standard_conforming_strings says. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

export function identifiers(names: readonly string[]): string {
  return names.map(identifier).join(', ')
}

/** As people write it: quotes only where they are needed. */
export function readable({ schema, name }: QualifiedName): string {
  return [schema, name]
    .map((part) => (/^[a-z_][a-z0-9_$]*$/.test(part) ? part : identifier(part)))
    .join('.')
}
