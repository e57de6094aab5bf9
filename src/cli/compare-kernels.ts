/** The kernels of a comparison: what is typed, `positive:row-norm=root`, and the options that it stands for. */
import { parseNumber } from '../base/number.js';
import { usageError } from './command.js';
import { type Flag, keyOf } from './flags.js';
import type { OptionValues } from './option-values.js';
import { kernelChoices, modelFlags } from './train-flags.js';

/** One way of training, to be compared with others. */
export interface ComparedVariant {
  /** As it was typed; also the name of its folders. */
  readonly name: string;
  /** Options that differ from the others', by their places. */
  readonly options: OptionValues;
  /** A preset of its own. */
  readonly preset?: OptionValues | undefined;
}

/** The kind of attention or the feature map of a name, and the kind that has such a map. */
function choiceOf(name: string): OptionValues | undefined {
  const choice = kernelChoices.find(({ choices }) => choices.includes(name));
  if (choice === undefined) return undefined;
  const above = choice.variants.map(({ path, names }) => [keyOf(path), names[0]]);
  return { ...Object.fromEntries(above), [choice.key]: name };
}

/** `row-norm=root`, `reversible` or `no-reversible` as an option and its value. */
function optionOf(kernel: string, word: string, known: readonly Flag[]): readonly [key: string, value: unknown] {
  const [name, value] = word.split('=', 2) as [string, string?];
  const isSwitch = (flag: Flag) => flag.kind === 'boolean' && value === undefined;
  const found = known.find((flag) => flag.flag === name || (isSwitch(flag) && name === `no-${flag.flag}`));
  if (found === undefined || (value === undefined) !== isSwitch(found) || value === '') {
    const all = known.map(({ flag, kind }) => (kind === 'boolean' ? `[no-]${flag}` : `${flag}=…`)).join(', ');
    throw usageError(`--kernels ${kernel}: expected ${all} after a name, got ${word}.`);
  }
  if (value === undefined) return [found.key, name === found.flag];
  return [found.key, parseNumber(value) ?? value];
}

function kernelOf(text: string): ComparedVariant {
  const [name, ...words] = text.split(':') as [string, ...string[]];
  const choice = choiceOf(name);
  if (choice === undefined) {
    const names = kernelChoices.flatMap(({ choices }) => choices).join(', ');
    throw usageError(`--kernels: expected ${names}, got ${JSON.stringify(text)}.`);
  }
  const isOpen = ({ path, names }: Flag['variants'][number]) => {
    const chosen = choice[keyOf(path)];
    return chosen === undefined || names.includes(`${chosen}`);
  };
  const isOwn = ({ path: [top] }: Flag) => Number(top === kernelChoices[0]?.path[0]);
  const known = modelFlags
    .filter(({ key, variants }) => !(key in choice) && variants.every(isOpen))
    .sort((a, b) => isOwn(b) - isOwn(a));
  return {
    name: text,
    options: { ...choice, ...Object.fromEntries(words.map((word) => optionOf(text, word, known))) },
  };
}

/** The kernels of a list with commas. Throws USAGE for one that does not exist, or stands there twice. */
export function parseKernels(list: string): readonly ComparedVariant[] {
  const kernels = list.split(',').map((text) => kernelOf(text.trim()));
  const names = kernels.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw usageError(`--kernels: expected each kernel once, got ${twice} twice.`);
  return kernels;
}
