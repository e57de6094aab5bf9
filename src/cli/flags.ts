/** Flags made from zod schemas: one for each key, with a table of help texts that the type checker keeps complete. */
import * as z from 'zod';

/** The help of one option; null for a key that has but one value and so needs no flag. */
export type FlagHelp = { readonly text: string; readonly value?: string; readonly fallback?: string } | null;
export type HelpOf<S extends z.core.$ZodLooseShape> = { readonly [K in keyof S]: FlagHelp };

/** A switch can only be given; a boolean also as `--no-…`. */
export type FlagKind = 'number' | 'boolean' | 'switch' | 'choice' | 'text' | 'list';

/** One flag, `--feature-count <n>` for the key featureCount. */
export interface Flag {
  readonly key: string;
  /** Without the dashes. */
  readonly name: string;
  readonly kind: FlagKind;
  readonly choices: readonly string[];
  readonly text: string;
  /** The word for its value in the help. */
  readonly value: string;
  /** What --help gives as the default. */
  readonly fallback: string | undefined;
  readonly group: string;
  /** Checks a value that was given; says what is wrong with it. */
  problemOf(value: unknown): string | undefined;
}

/** The values of the flags that were given, by key. */
export type FlagValues = Readonly<Record<string, unknown>>;

/** `featureCount` → `feature-count`. */
export function flagName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function innerOf(schema: z.core.$ZodType): { inner: z.core.$ZodType; fallback?: unknown } {
  if (schema instanceof z.ZodOptional) return innerOf(schema.def.innerType);
  if (!(schema instanceof z.ZodDefault)) return { inner: schema };
  return { ...innerOf(schema.def.innerType), fallback: schema.def.defaultValue };
}

function kindOf(inner: z.core.$ZodType): FlagKind {
  if (inner instanceof z.ZodBoolean) return 'boolean';
  if (inner instanceof z.ZodLiteral) return 'switch';
  if (inner instanceof z.ZodEnum) return 'choice';
  if (inner instanceof z.ZodArray) return 'list';
  return inner instanceof z.ZodNumber ? 'number' : 'text';
}

const words: Record<FlagKind, string> = {
  number: 'n',
  boolean: '',
  switch: '',
  choice: 'name',
  text: 'text',
  list: 'text',
};

/** The flags of a schema's shape under one heading of the help. */
export function flagsOf<S extends z.core.$ZodLooseShape>(group: string, shape: S, help: HelpOf<S>): Flag[] {
  return Object.entries(shape).flatMap(([key, schema]: [string, z.core.$ZodType]): Flag[] => {
    const entry = help[key];
    if (entry === null || entry === undefined) return [];
    const { inner, fallback } = innerOf(schema);
    const kind = kindOf(inner);
    return [
      {
        key,
        name: flagName(key),
        kind,
        choices: inner instanceof z.ZodEnum ? inner.options.map(String) : [],
        text: entry.text,
        value: entry.value ?? words[kind],
        fallback: entry.fallback ?? (fallback === undefined ? undefined : String(fallback)),
        group,
        problemOf: (value) =>
          z
            .safeParse(schema, value)
            .error?.issues.map(({ message }) => message)
            .join('; '),
      },
    ];
  });
}
