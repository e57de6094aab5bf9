/**
 * Options: one schema says an option's name, type, bounds, default and help. Checks, flags, config files, errors and
 * documents follow from it.
 *
 * Options nest. Where one choice decides which others there are, the schema is a union of variants told apart by one key
 * (`choice`), and a variant without options of its own may be given by its name alone: `attention: 'softmax'`.
 */
import * as z from 'zod';
import { type Variants, variantName, variantsOf } from './choice.js';
import { PerformerError } from './errors.js';

export { type ChoiceSchema, type ChoicesSchema, choice, choices } from './choice.js';

/** What help says of an option beside its schema. */
export interface OptionHelp {
  /** What it is, in a few words. */
  readonly text: string;
  /** Its flag without the dashes; made from its key unless given. */
  readonly flag?: string | undefined;
  /** The word for its value in the help. */
  readonly value?: string | undefined;
  /** What the help gives as the default where that depends on other options. */
  readonly fallback?: string | undefined;
}

const helps = z.registry<OptionHelp>();

/** The schema with its help. Defaults are part of the schema: an option is told last. */
export function option<S extends z.ZodType>(schema: S, text: string, help: Omit<OptionHelp, 'text'> = {}): S {
  const told = schema.clone(); // several options may be made of one schema
  const variants = variantsOf.get(schema);
  if (variants !== undefined) variantsOf.set(told, variants);
  helps.add(told as never, { text, ...help } as never);
  return told;
}

/**
 * How an option is written on a command line: `switch` is a flag that can only be set, `boolean` one that has a
 * `--no-` form.
 */
export type OptionKind = 'number' | 'boolean' | 'switch' | 'choice' | 'text' | 'list';

/** One option of a schema, however deep it stands. */
export interface OptionField extends OptionHelp {
  /** Where its value goes: `['attention', 'features', 'degree']`. */
  readonly path: readonly string[];
  readonly flag: string;
  readonly kind: OptionKind;
  readonly choices: readonly string[];
  /** Whether it names a variant, and so decides which other options there are. */
  readonly isVariant: boolean;
  /** Whether several may be named, with commas. */
  readonly isList?: boolean | undefined;
  readonly fallback: string | undefined;
  /** The variants that have it, of each choice that stands above it: `{ path: ['attention', 'kind'], names: ['favor+'] }`. */
  readonly variants: readonly OptionVariants[];
  /** Checks a value that was given for it alone; says what is wrong with it. */
  problemOf(value: unknown): string | undefined;
}

/** A choice on which an option depends: where it stands, and for which of its names the option exists. */
export interface OptionVariants {
  readonly path: readonly string[];
  readonly names: readonly string[];
}

/** `featureCount` → `feature-count`. */
export function flagName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The names of the options that stand at the top of a schema, also of those without a help. */
export function optionNames(schema: z.ZodType): readonly string[] {
  const { inner } = unwrap(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** Every option of a schema that has a help, in the order in which they stand; one that several variants have once. */
export function optionFields(schema: z.ZodType): readonly OptionField[] {
  return fieldsOf(schema, [], []);
}

interface Unwrapped {
  readonly inner: z.ZodType;
  readonly fallback?: unknown;
  readonly help?: OptionHelp | undefined;
}

function unwrap(schema: z.ZodType): Unwrapped {
  const help = helps.get(schema as never) as OptionHelp | undefined;
  const below = (inner: unknown, more: object = {}): Unwrapped => {
    const found = unwrap(inner as z.ZodType);
    return { ...found, ...more, help: help ?? found.help };
  };
  if (variantsOf.has(schema)) return { inner: schema, help };
  if (schema instanceof z.ZodOptional) return below(schema.def.innerType);
  if (schema instanceof z.ZodDefault) return below(schema.def.innerType, { fallback: schema.def.defaultValue });
  if (schema instanceof z.ZodPipe) return below(schema.def.in);
  return { inner: schema, help };
}

function kindOf(inner: z.ZodType): OptionKind {
  if (inner instanceof z.ZodBoolean) return 'boolean';
  if (inner instanceof z.ZodLiteral) return 'switch';
  if (inner instanceof z.ZodEnum) return 'choice';
  if (inner instanceof z.ZodArray) return 'list';
  return inner instanceof z.ZodNumber ? 'number' : 'text';
}

function fieldsOf(
  schema: z.ZodType,
  path: readonly string[],
  variants: readonly OptionVariants[],
): readonly OptionField[] {
  const { inner } = unwrap(schema);
  const union = variantsOf.get(inner);
  if (union !== undefined) return fieldsOfUnion(inner, union, path, variants);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape).flatMap(([key, child]) =>
    fieldsOfKey(child as z.ZodType, [...path, key], variants),
  );
}

function fieldsOfKey(
  schema: z.ZodType,
  path: readonly string[],
  variants: readonly OptionVariants[],
): readonly OptionField[] {
  const { inner, fallback, help } = unwrap(schema);
  if (variantsOf.has(inner) || inner instanceof z.ZodObject) return fieldsOf(schema, path, variants);
  if (help === undefined) return [];
  return [
    {
      ...{ ...help, path, variants, kind: kindOf(inner) },
      flag: help.flag ?? flagName(path.at(-1) as string),
      choices: inner instanceof z.ZodEnum ? inner.options.map(String) : [],
      isVariant: false,
      fallback: help.fallback ?? (fallback === undefined ? undefined : String(fallback)),
      problemOf: problemsOf(schema),
    },
  ];
}

function problemsOf(schema: z.ZodType): (value: unknown) => string | undefined {
  return (value) =>
    schema
      .safeParse(value)
      .error?.issues.map(({ message }) => message)
      .join('; ');
}

/** The choice itself as an option, then those of its variants; one that several have is listed with all of them. */
function fieldsOfUnion(
  schema: z.ZodType,
  { key, schemas: all, fallback, isList }: Variants,
  path: readonly string[],
  variants: readonly OptionVariants[],
): readonly OptionField[] {
  const help = helps.get(schema as never) as OptionHelp | undefined;
  const own = [...path, key];
  const schemas = all();
  const names = schemas.map((variant) => variantName(variant, key));
  const fields = new Map<string, OptionField>();
  for (const variant of schemas) {
    const name = variantName(variant, key);
    for (const [child, inner] of Object.entries(variant.shape)) {
      if (child === key) continue;
      for (const field of fieldsOfKey(
        inner as z.ZodType,
        [...path, child],
        [...variants, { path: own, names: [name] }],
      )) {
        const id = field.path.join('.');
        fields.set(id, merged(fields.get(id), field, own));
      }
    }
  }
  const told: OptionField[] =
    help === undefined
      ? []
      : [
          {
            ...{ ...help, path: own, variants, kind: 'choice', choices: names, isVariant: true, isList },
            fallback: help.fallback ?? fallback,
            flag: help.flag ?? flagName(path.at(-1) ?? key),
            problemOf(value) {
              const given = isList === true ? `${value}`.split(',') : [`${value}`];
              if (given.every((name) => names.includes(name))) return undefined;
              return `expected one of ${names.join(', ')}${isList === true ? ', or several with commas' : ''}`;
            },
          },
        ];
  return [...told, ...fields.values()];
}

/** A field that stands in one more variant of the choice at `path`. */
function merged(before: OptionField | undefined, field: OptionField, path: readonly string[]): OptionField {
  if (before === undefined) return field;
  const isHere = (each: OptionVariants) => each.path.join('.') === path.join('.');
  const more = field.variants.find(isHere)?.names ?? [];
  return {
    ...before,
    variants: before.variants.map((each) => (isHere(each) ? { ...each, names: [...each.names, ...more] } : each)),
  };
}

/** Names each problem by its path: `dim: expected number, received string`. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .map(({ path, message, input }) => {
      const isShown = typeof input === 'number' || typeof input === 'boolean';
      const told = isShown ? `${message}, got ${input}` : message; // with `reportInput` alone
      return path.length === 0 ? told : `${path.join('.')}: ${told}`;
    })
    .join('; ');
}

/** Options with their defaults. Throws CONFIG with every problem, unknown options among them. */
export function parseOptions<S extends z.ZodType>(where: string, schema: S, options: unknown): z.output<S> {
  const parsed = schema.safeParse(options, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw new PerformerError('CONFIG', `${where}: expected valid options, got ${describeIssues(parsed.error)}.`);
}
