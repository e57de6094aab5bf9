/**
 * The variants of a comparison: what is typed, `hybrid: --attention hybrid --learning-rate 2e-3`, and the options that it stands
 * for. Their flags are those of `performer train`, and are read as these are.
 */
import { type Given, usageError } from './command.js';
import type { CompareOptions } from './compare.js';
import { type ComparedVariant, parseKernels } from './compare-kernels.js';
import { parseFlags } from './flag-words.js';
import { flagsOf, keyOf } from './flags.js';
import { type OptionValues, pickValues } from './option-values.js';
import { kernelChoices, optionFlag, optionFlags, runSchema } from './train-flags.js';
import { type AskedOptions, askedOptions, freshOptions, presetBeside, type RunOptions } from './train-options.js';

const variantFlags = [
  ...flagsOf('Run:', runSchema.pick({ preset: true, config: true, tokenizer: true })),
  ...optionFlags,
];

async function variantOf(text: string): Promise<ComparedVariant> {
  const [, name = '', typed = ''] = /^([^:]*):(.*)$/s.exec(text) ?? [];
  if (name.trim() === '') {
    throw usageError(`--variant: expected a name, a colon and flags of train, got ${JSON.stringify(text)}.`);
  }
  const words = typed.split(/\s+/).filter((word) => word !== '');
  const flags = parseFlags(`--variant ${name}`, variantFlags, words);
  const asked = await askedOptions(flags, flags);
  return {
    name: name.trim(),
    options: asked.own,
    preset: asked.isPresetNamed ? asked.preset : undefined,
  };
}

/** The variants that were asked for, or the kernels. Throws USAGE for both, for wrong ones, and for two of one name. */
export async function comparedVariants({ options, flags }: Given<CompareOptions>): Promise<readonly ComparedVariant[]> {
  const { variant: typed, kernels } = options;
  if (typed === undefined) return parseKernels(kernels);
  if ('kernels' in flags) throw usageError('compare: expected --kernels or --variant, got both.');
  const variants: ComparedVariant[] = [];
  for (const text of typed) variants.push(await variantOf(text));
  const names = variants.map(({ name }) => folderWord(name));
  const twice = variants.find((_, at) => names.indexOf(names[at] as string) !== at);
  if (twice !== undefined) throw usageError(`--variant: expected each name once, got ${twice.name} twice.`);
  return variants;
}

/** Throws USAGE for options of all that the names of kernels choose. */
export function expectUnvaried({ own, nameOf }: AskedOptions, { options }: Given<CompareOptions>): void {
  if (options.variant !== undefined) return;
  const varied = kernelChoices.find(({ key }) => key in own);
  if (varied === undefined) return;
  throw usageError(`${nameOf(varied.key)}: expected it among the names of --kernels, which choose it.`);
}

/**
 * The options of a run of a variant. What was asked for all, and only some kinds of what the variant chooses have, holds as a
 * preset does, where this one can have it.
 */
export function variantRun(asked: AskedOptions, variant: ComparedVariant, more: OptionValues = {}): RunOptions {
  const dependsOnVariant = (key: string) =>
    key === 'redrawInterval' || optionFlag(key)?.variants.some(({ path }) => keyOf(path) in variant.options) === true;
  const shared = pickValues(asked.own, (key) => !dependsOnVariant(key));
  const base = presetBeside(variant.options, variant.preset ?? asked.preset);
  const preset = { ...base, ...pickValues(asked.own, dependsOnVariant) };
  return freshOptions({ ...asked, own: { ...shared, ...variant.options, ...more }, preset }, ` of ${variant.name}`);
}

function folderWord(name: string): string {
  return name.replaceAll(/[^\w.=-]/g, '_');
}

/** The name of the folder of one run. */
export function folderName(variant: string, seed: number): string {
  return `${folderWord(variant)}-seed-${seed}`;
}
