/** The families of pretrained models by `model_type`, and what a config.json of one says in our options. */
import type * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';
import { describeIssues } from '../base/options.js';
import { bert, roberta } from './bert.js';
import { distilbert } from './distilbert.js';
import { esm2 } from './esm2.js';
import { type OwnConfig, type PretrainedFamily, passedOver } from './family.js';
import { gptNeox } from './gpt-neox.js';
import { gpt2 } from './gpt2.js';
import { llama, mistral, qwen2 } from './llama.js';
import { performerPytorch } from './performer-pytorch.js';
import { t5 } from './t5.js';
import { vit } from './vit.js';

const families: readonly PretrainedFamily[] = [
  ...[gpt2, llama, mistral, qwen2, gptNeox],
  ...[bert, roberta, distilbert, esm2, vit, t5, performerPytorch],
];

/** The families that are read, by `model_type`. */
export function pretrainedNames(): readonly string[] {
  return families.map(({ modelType }) => modelType);
}

/** The families that are written, too. */
export function writtenNames(): readonly string[] {
  return families.filter(({ fieldsOf }) => fieldsOf !== undefined).map(({ modelType }) => modelType);
}

/** Whether the content of a config.json is that of a pretrained model of another system: that names no model of ours, and no size of one. */
export function isPretrained(content: unknown): content is Readonly<Record<string, unknown>> {
  if (typeof content !== 'object' || content === null || 'model' in content) return false;
  return 'model_type' in content || !('dim' in content);
}

/** A family with a config of it that is understood. */
export interface PretrainedModel {
  readonly family: PretrainedFamily;
  readonly config: z.output<z.ZodObject>;
  readonly architecture: string;
  /** Our options, whose attention is exact unless the model has another. */
  readonly options: object;
}

/**
 * What a config.json says. Null is what is not given.
 *
 * @throws CONFIG for a family, an architecture or a field that is not understood.
 */
export function pretrainedModel(where: string, content: Readonly<Record<string, unknown>>): PretrainedModel {
  const { model_type: type, architectures } = content;
  const family = families.find(({ modelType }) => modelType === type);
  if (family === undefined) refuse(where, `model_type of ${pretrainedNames().join(', ')}`, told(type));
  const [architecture = family.architectures[0]!] = (Array.isArray(architectures) ? architectures : []) as unknown[];
  if (typeof architecture !== 'string' || !family.architectures.includes(architecture)) {
    refuse(where, `architectures of ${family.architectures.join(', ')}`, told(architecture));
  }
  const fields = Object.entries(content).filter(
    ([key, value]) => value !== null && (key in family.fields.shape || !passedOver.includes(key)),
  );
  const parsed = family.fields.safeParse(Object.fromEntries(fields), { reportInput: true });
  if (!parsed.success) refuse(where, `settings of ${type} that are understood`, describeIssues(parsed.error));
  const config = parsed.data;
  const options = { attention: 'softmax', tokenShift: 0, ...family.options(config, architecture) };
  return { family, config, architecture, options };
}

/** The content of a config.json of each family, as far as it can say a config of ours: whether it does, `pretrainedModel` tells. */
export function pretrainedConfigs(own: OwnConfig): readonly Readonly<Record<string, unknown>>[] {
  return families.flatMap(({ modelType, architectures, fieldsOf }) => {
    const fields = fieldsOf?.(own);
    if (fields === undefined) return [];
    const told = Object.entries(fields).filter(([, value]) => value !== undefined);
    return [{ architectures: [architectures[0]], model_type: modelType, ...Object.fromEntries(told) }];
  });
}

function told(got: unknown): string {
  if (got === undefined) return 'none';
  return typeof got === 'string' ? escaped(got) : JSON.stringify(got);
}

function refuse(where: string, expected: string, got: string): never {
  throw new PerformerError('CONFIG', `${where}: expected ${expected}, got ${got}. Other models are not understood.`);
}
