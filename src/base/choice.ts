/**
 * Choices: options that decide which other options there are. A choice is one of several variants, told apart by the
 * literal at one key; `choices` takes a list of them as well.
 */
import * as z from 'zod';

type Schemas = readonly z.ZodObject[];

export interface Variants {
  readonly key: string;
  /** Asked each time, since a registry may have grown. */
  readonly schemas: () => Schemas;
  readonly fallback: string;
  /** Whether a list of variants may be given. */
  readonly isList?: boolean | undefined;
}

/** The variants of a choice, by its schema. */
export const variantsOf = new WeakMap<z.ZodType, Variants>();

type NameOf<S extends z.ZodObject, K extends string> = S extends z.ZodObject
  ? z.output<S>[K & keyof z.output<S>]
  : never;

/** A variant as it may be given: its key may be left out, where it is the one that is taken by default. */
type GivenVariant<S extends z.ZodObject, K extends string> = S extends z.ZodObject
  ? Flat<Omit<z.input<S>, K> & { readonly [P in K]?: NameOf<S, K> | undefined }>
  : never;

/** One object type in place of an intersection, so that nothing but such an object fits it. */
type Flat<T> = { [P in keyof T]: T[P] };

/** A choice as a schema: what may be given for it, and the variant that comes out. */
export type ChoiceSchema<S extends z.ZodObject, K extends string> = z.ZodPrefault<
  z.ZodType<z.output<S>, GivenVariant<S, K> | NameOf<S, K>>
>;

/**
 * One of several variants, told apart by the literal at `key`. A text stands for the variant of that name without other
 * options; `fallback` names the one that is taken where nothing is given, or options without the key. Variants that come
 * from a registry are given as a function.
 */
export function choice<const K extends string, const L extends Schemas>(
  key: K,
  schemas: L | (() => L),
  fallback: NameOf<L[number], K>,
): ChoiceSchema<L[number], K> {
  const variants = { key, schemas: typeof schemas === 'function' ? schemas : () => schemas, fallback: `${fallback}` };
  const schema = z.unknown().transform((given, context) => {
    const options = typeof given === 'string' ? { [key]: given } : given;
    const issues = (found: readonly object[]) => {
      context.issues.push(...(found as never[]));
      return z.NEVER;
    };
    const refuse = (message: string, path: readonly string[]) =>
      issues([{ code: 'custom', message, path, input: options }]);
    if (typeof options !== 'object' || options === null || Array.isArray(options)) {
      return refuse(`expected a name or an object, got ${JSON.stringify(options)}`, []);
    }
    const { [key]: name = variants.fallback } = options as Readonly<Record<string, unknown>>;
    const all = variants.schemas();
    const variant = all.find((each) => variantName(each, key) === name);
    if (variant === undefined) {
      const names = all.map((each) => variantName(each, key)).join(', ');
      return refuse(`expected one of ${names}, got ${JSON.stringify(name)}`, [key]);
    }
    const parsed = variant.safeParse({ ...options, [key]: name }, { reportInput: true });
    if (parsed.success) return parsed.data;
    // As problems of our own: unknown keys alone would not keep what is built on this value from being made.
    return issues(parsed.error.issues.map(({ message, path, input }) => ({ code: 'custom', message, path, input })));
  });
  const withDefault = schema.prefault(variants.fallback);
  variantsOf.set(withDefault, variants);
  return withDefault as unknown as ChoiceSchema<L[number], K>;
}

export function variantName(variant: z.ZodObject, key: string): string {
  const literal = variant.shape[key];
  return literal instanceof z.ZodLiteral ? String(literal.value) : '';
}

/** A choice or a list of such. */
export type ChoicesSchema<C extends z.ZodType> = z.ZodPrefault<
  z.ZodType<z.output<C> | readonly z.output<C>[], z.input<C> | readonly z.input<C>[]>
>;

/**
 * The choice, or a list: `['softmax', { kind: 'favor+' }]`. One text may name several with commas, and names may stand at
 * the key with other options beside them, which go to each variant that has them and does not give its own:
 * `{ kind: 'softmax,favor+', features: 'relu' }`.
 */
export function choices<C extends z.ZodType>(one: C): ChoicesSchema<C> {
  const variants = variantsOf.get(one) as Variants;
  const schema = z.unknown().transform((given, context) => {
    const listed = listOf(given, variants);
    const refuse = (issues: readonly object[]) => {
      context.issues.push(...(issues as never[]));
      return z.NEVER;
    };
    const own = listed?.entries ?? [given];
    const parsed = own.map((entry) => one.safeParse(entry, { reportInput: true }));
    const issues = parsed.flatMap(({ error }, at) =>
      (error?.issues ?? []).map(({ message, path, input }) => ({
        ...{ code: 'custom', message, input },
        path: listed === undefined ? path : [at, ...path],
      })),
    );
    const unknown = (listed?.unused ?? []).map((name) => ({
      ...{ code: 'custom', message: 'none of the list has it', input: given },
      path: [name],
    }));
    if (issues.length + unknown.length > 0) return refuse([...issues, ...unknown]);
    const found = parsed.map(({ data }) => data);
    return listed === undefined ? found[0] : found;
  });
  const withDefault = schema.prefault(variants.fallback);
  variantsOf.set(withDefault, { ...variants, isList: true });
  return withDefault as unknown as ChoicesSchema<C>;
}

/** The entries of a list, with the options that stand beside it; undefined for a single choice. */
function listOf(
  given: unknown,
  { key, schemas, fallback }: Variants,
): { readonly entries: readonly unknown[]; readonly unused: readonly string[] } | undefined {
  const isObject = typeof given === 'object' && given !== null && !Array.isArray(given);
  const { [key]: named, ...shared } = isObject ? (given as Readonly<Record<string, unknown>>) : { [key]: given };
  const list = typeof named === 'string' && named.includes(',') ? named.split(',') : named;
  if (!Array.isArray(list)) return undefined;
  const used = new Set<string>();
  const entries = list.map((entry: unknown) => {
    const own = typeof entry === 'string' ? { [key]: entry.trim() } : entry;
    if (typeof own !== 'object' || own === null) return own;
    const { [key]: name = fallback } = own as Readonly<Record<string, unknown>>;
    const shape = schemas().find((variant) => variantName(variant, key) === name)?.shape ?? {};
    const fitting = Object.entries(shared).filter(([option]) => option in shape);
    for (const [option] of fitting) used.add(option);
    return { ...Object.fromEntries(fitting), ...own };
  });
  return { entries, unused: Object.keys(shared).filter((option) => !used.has(option)) };
}
