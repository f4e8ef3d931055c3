/** Texts as YAML of a configuration file, for what is rendered by hand. */

/** A value: a `$` is doubled, since it begins a placeholder. */
export function scalar(text: string): string {
  return yamlKey(text.split('$').join('$$'))
}

/** Plain where YAML reads it as text for sure. Nothing is put into keys, so a `$` stays as it is. */
export function yamlKey(text: string): string {
  const plain = /^[A-Za-z/][\w./-]*$/.test(text)
  const readOtherwise = /^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text)
  return plain && !readOtherwise ? text : JSON.stringify(text)
}
