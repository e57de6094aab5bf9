/** The kernels of a comparison: what is typed, `positive:row-norm=root`, and the options that it stands for. */
import { parseNumber } from '../base/number.js';
import { type FeatureMapName, featureMapNames } from '../features/index.js';
import { usageError } from './command.js';
import { flagName } from './flags.js';

export interface ComparedKernel {
  /** As it was typed; also the name of its folders. */
  readonly name: string;
  /** Options of the model that differ from the others'. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Options of a kernel that may follow its name. */
export const kernelOptions = [
  'featureCount',
  'projectionKind',
  'rowNorm',
  'kernelEpsilon',
  'polynomialDegree',
  'polynomialOffset',
  'positionSpan',
] as const;

/** The options of the model that a comparison varies, and so takes from the kernels alone. */
export const variedOptions: readonly string[] = [
  'attention',
  'featureMap',
  ...kernelOptions.filter((key) => key !== 'featureCount'),
];

function optionOf(kernel: string, word: string): readonly [string, unknown] {
  const [name, value = ''] = word.split('=', 2) as [string, string?];
  const key = kernelOptions.find((each) => flagName(each) === name);
  if (key === undefined || value === '') {
    const known = kernelOptions.map((each) => `${flagName(each)}=…`).join(', ');
    throw usageError(`--kernels ${kernel}: expected ${known} after a name, got ${word}.`);
  }
  return [key, parseNumber(value) ?? value];
}

function kernelOf(text: string): ComparedKernel {
  const [name, ...words] = text.split(':') as [string, ...string[]];
  if ((name === 'softmax' || name === 'none') && words.length === 0)
    return { name: text, options: { attention: name } };
  if (!featureMapNames.includes(name as FeatureMapName)) {
    throw usageError(`--kernels: expected softmax, none, ${featureMapNames.join(', ')}, got ${JSON.stringify(text)}.`);
  }
  return {
    name: text,
    options: { featureMap: name, ...Object.fromEntries(words.map((word) => optionOf(text, word))) },
  };
}

/** The kernels of a list with commas. Throws USAGE for one that does not exist, or stands there twice. */
export function parseKernels(list: string): readonly ComparedKernel[] {
  const kernels = list.split(',').map((text) => kernelOf(text.trim()));
  const names = kernels.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw usageError(`--kernels: expected each kernel once, got ${twice} twice.`);
  return kernels;
}

/** The name of the folder of one run. */
export function folderName({ name }: ComparedKernel, seed: number): string {
  return `${name.replaceAll(/[^\w.=-]/g, '_')}-seed-${seed}`;
}
