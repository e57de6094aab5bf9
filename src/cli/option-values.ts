/**
 * Values of nested options by their places, `{ 'attention.features.degree': 3 }`: so that those of flags, files and presets
 * can be laid over each other, and compared.
 */
import { type Flag, keyOf } from './flags.js';

export type OptionValues = Readonly<Record<string, unknown>>;

/** The values that pass, by key and value. */
export function pickValues(values: OptionValues, passes: (key: string, value: unknown) => boolean): OptionValues {
  return Object.fromEntries(Object.entries(values).filter(([key, value]) => passes(key, value)));
}

/** The values at their places: `{ attention: { features: { degree: 3 } } }`. */
export function nestedOptions(values: OptionValues): object {
  const root: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const names = key.split('.');
    const last = names.pop() as string;
    let place = root;
    for (const name of names) {
      place[name] ??= {};
      place = place[name] as Record<string, unknown>;
    }
    place[last] = value;
  }
  return root;
}

/** Nested options as values by place. A bare name stands where its variant is named: `attention: 'softmax'`. */
export function valuesOf(options: object, flags: readonly Flag[], above: readonly string[] = []): OptionValues {
  const entries = Object.entries(options).flatMap(([name, value]): [string, unknown][] => {
    const path = [...above, name];
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (isObject) return Object.entries(valuesOf(value, flags, path));
    const variant = flags.find((flag) => flag.isVariant && keyOf(flag.path.slice(0, -1)) === keyOf(path));
    return [[variant?.key ?? keyOf(path), value]];
  });
  return Object.fromEntries(entries);
}

/** The names of variants in what was chosen: a name, several with commas, or a list of names and of objects with the key. */
export function namesIn(chosen: unknown, key: string): readonly string[] {
  if (typeof chosen === 'string') return chosen.split(',').map((name) => name.trim());
  if (!Array.isArray(chosen)) return [String(chosen)];
  return chosen.flatMap((each: unknown) =>
    namesIn(typeof each === 'object' && each !== null ? (each as Readonly<Record<string, unknown>>)[key] : each, key),
  );
}

/** Why an option is none of the variants that the values choose: `only polynomial features have it`. */
export function misfitOf(flag: Flag, values: OptionValues, flags: readonly Flag[]): string | undefined {
  for (const { path, names } of flag.variants) {
    const choice = flags.find(({ key }) => key === keyOf(path));
    const chosen = namesIn(values[keyOf(path)] ?? choice?.fallback, path.at(-1) as string);
    const { choices = [] } = choice ?? {};
    // A wrong name is told of where it stands.
    if (chosen.some((name) => names.includes(name) || !choices.includes(name))) continue;
    const noun = path.at(-2) as string; // attention, features, positions
    const isPlural = noun.endsWith('s');
    if (2 * names.length < choices.length) return `only ${names.join(', ')} ${noun} ${isPlural ? 'have' : 'has'} it`;
    return `${chosen.join(', ')} ${noun} ${isPlural ? 'do' : 'does'} not have it`;
  }
  return undefined;
}
