/** Flags made from schemas: one for each option that has a help (see base/options.ts). */
import type * as z from 'zod';
import { type OptionField, type OptionKind, optionFields } from '../base/options.js';

/**
 * One flag, `--polynomial-degree <n>` for the option at `attention.features.degree`. A switch can only be given, a boolean
 * also as `--no-…`.
 */
export interface Flag extends OptionField {
  /** Where its value goes, with dots. */
  readonly key: string;
  /** The word for its value in the help. */
  readonly value: string;
  /** The heading of the help that it stands under. */
  readonly group: string;
}

/** The values of the flags that were given, by key. */
export type FlagValues = Readonly<Record<string, unknown>>;

const words: Record<OptionKind, string> = {
  number: 'n',
  boolean: '',
  switch: '',
  choice: 'name',
  text: 'text',
  list: 'text',
};

export function keyOf(path: readonly PropertyKey[]): string {
  return path.join('.');
}

/** The flags of a schema under one heading of the help. */
export function flagsOf(group: string, schema: z.ZodType): Flag[] {
  return optionFields(schema).map((field) => ({
    ...field,
    key: keyOf(field.path),
    value: field.value ?? words[field.kind],
    group,
  }));
}
