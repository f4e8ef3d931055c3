/** Freezes a plain value with all it holds: configuration is read by many and altered by none. */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const held of Object.values(value)) deepFreeze(held)
  return Object.freeze(value)
}
