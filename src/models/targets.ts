/** What is told of a text or an image: its class, its labels, or numbers. */
import * as z from 'zod';
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import { choice } from '../base/options.js';
import type { Model, ModelWeights } from './model.js';

const names = z.array(z.string()).min(1);

const classes = z.strictObject({
  kind: z.literal('classes'),
  /** In the order of the logits. */
  names: names.min(2),
  /** How much an example of each class counts in the loss; 1 each unless given. */
  weights: z.array(z.number().positive()).optional(),
});

const labels = z.strictObject({
  kind: z.literal('labels'),
  /** In the order of the logits. */
  names,
});

const values = z.strictObject({
  kind: z.literal('values'),
  names,
  /** The units in which the values are learned; 0 and 1 unless given. */
  means: z.array(z.number()).optional(),
  deviations: z.array(z.number().positive()).optional(),
});

/** What is told of a text. It follows from the data, and has no flag. */
export const targetChoice = choice('kind', [classes, labels, values], 'classes');

/** The classes that are told of an image. They follow from the data, too. */
export const classChoice = choice('kind', [classes], 'classes');

/** What is told of a text: its class, which of some labels it has, or one or more values. */
export type Targets = z.output<typeof targetChoice>;
/** The classes that a classifier tells apart. */
export type ClassTargets = Extract<Targets, { kind: 'classes' }>;
/** The labels of which a text has any number. */
export type LabelTargets = Extract<Targets, { kind: 'labels' }>;
/** The values that a regressor tells, with their scale. */
export type ValueTargets = Extract<Targets, { kind: 'values' }>;

/** A check of schemas: every list must be as long as that of the names, whose names are each once. */
export function checkTargets(
  { targets: { names: own, ...lists } }: { readonly targets: Targets },
  context: z.core.$RefinementCtx,
): void {
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: 'custom', path: ['targets', key], message });
  for (const [key, list] of Object.entries(lists)) {
    if (Array.isArray(list) && list.length !== own.length) refuse(key, `expected ${own.length}, as many as names`);
  }
  if (new Set(own).size !== own.length) refuse('names', 'expected each name once');
}

/** What a model tells of a text or an image; nothing for models of other families. */
export function targetsOf({ config }: Pick<Model, 'config'>): Targets | undefined {
  return (config as { readonly targets?: Targets }).targets;
}

/** The weights that a model begins with of another: without those of the head, where it tells other targets. */
export function weightsToBegin(
  model: Model,
  { model: from, params, buffers }: ModelWeights & { readonly model: Model },
): ModelWeights {
  const told = (of: Model) => JSON.stringify([targetsOf(of)?.kind, targetsOf(of)?.names]);
  if (told(model) === told(from)) return { params, buffers };
  const { head: _, ...rest } = params as { readonly head?: object };
  return { params: rest, buffers };
}

/** The targets of a model that tells of this kind. Throws CONFIG for other models. */
export function expectTargets<const K extends Targets['kind']>(
  where: string,
  model: Pick<Model, 'config'>,
  kind: K,
): Extract<Targets, { kind: K }> {
  const targets = targetsOf(model);
  if (targets?.kind === kind) return targets as Extract<Targets, { kind: K }>;
  const got = targets === undefined ? withArticle(model.config.model) : `one of ${targets.kind}`;
  throw new PerformerError('CONFIG', `${where}: expected a classifier of ${kind}, got ${got}.`);
}
