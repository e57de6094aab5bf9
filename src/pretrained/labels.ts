/**
 * The classes, labels or values that a model of Hugging Face tells, by `id2label` and `problem_type` of its config.json: without the
 * latter one output is a value, as in the original, and more are classes.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';

/** The fields of config.json that say what is told. */
export const labelFields = {
  id2label: z.record(z.string(), z.union([z.string(), z.number()])).default({ 0: 'LABEL_0', 1: 'LABEL_1' }),
  /** How many there are, as some files have it beside. */
  ...{ num_labels: z.int().optional(), _num_labels: z.int().optional() },
  problem_type: z.enum(['single_label_classification', 'multi_label_classification', 'regression']).optional(),
};

type Labels = z.output<z.ZodObject<typeof labelFields>>;

/**
 * The names in the order of the outputs; one that several have, as ImageNet has two cranes, with the number of the output behind it.
 * Throws CONFIG where they are not numbered from 0, or are of another number than is said.
 */
function namesOf({ id2label, num_labels: told, _num_labels: other }: Labels): readonly string[] {
  const numbers = Object.keys(id2label);
  const count = told ?? other ?? numbers.length;
  const names = Array.from({ length: numbers.length }, (_, output) => id2label[output]);
  if (count === numbers.length && (other ?? count) === count && !names.includes(undefined)) {
    const isShared = (name: unknown) => names.indexOf(name as string) !== names.lastIndexOf(name as string);
    return names.map((name, output) => (isShared(name) ? `${name} (${output})` : String(name)));
  }
  const got = escaped(`${numbers.length}: ${numbers.slice(0, 5).join(', ')}`);
  const message = `config.json: expected id2label to name the outputs 0 to ${count - 1}, got ${got}. Name each once.`;
  throw new PerformerError('CONFIG', message);
}

const kinds = {
  single_label_classification: 'classes',
  multi_label_classification: 'labels',
  regression: 'values',
} as const;

/** What a model of ours tells. */
export interface ToldTargets {
  readonly kind: string;
  readonly names: readonly string[];
}

/** What is told of a text or an image. */
export function labelTargets(labels: Labels) {
  const names = namesOf(labels);
  const { problem_type: type = names.length === 1 ? 'regression' : 'single_label_classification' } = labels;
  return { kind: kinds[type], names };
}

/** The classes of each token. */
export function classTargets(labels: Labels) {
  return { kind: 'classes', names: namesOf(labels) } as const;
}

/** The fields of a config.json that say what a model of ours tells. */
export function labelsOf({ kind, names }: ToldTargets) {
  return {
    id2label: Object.fromEntries(names.map((name, output) => [output, name])),
    label2id: Object.fromEntries(names.map((name, output) => [name, output])),
    problem_type: Object.entries(kinds).find(([, own]) => own === kind)?.[0],
  };
}
