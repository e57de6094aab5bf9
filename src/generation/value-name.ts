/** What a value is, for a message about an argument of another kind: `a Uint8Array`, `a number` or `undefined`. */
export function nameOfValue(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  const name = typeof value === 'object' ? (value.constructor?.name ?? 'object') : typeof value;
  return `${/^[aeio]/i.test(name) ? 'an' : 'a'} ${name}`;
}
