/** The flags of `performer train`: every option of the model and of the training, and where the run lives. */
import * as z from 'zod';
import { languageModelSchema, type PresetName, presets } from '../models/config.js';
import { trainingSchema } from '../training/config.js';
import { engineFlags } from './engine-flags.js';
import { type Flag, flagName, flagsOf } from './flags.js';

export const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];

export const runSchema = z.strictObject({
  out: z.string().min(1),
  preset: z.enum(presetNames).default('tiny'),
  config: z.string().min(1).optional(),
  resume: z.literal(true).optional(),
});

export const modelShape = languageModelSchema.in.shape;
export const trainingShape = trainingSchema.in.shape;

const fromPreset = 'from the preset';

const runFlags = flagsOf('Run:', runSchema.shape, {
  out: { text: 'the folder of the run and of its model', value: 'folder' },
  preset: { text: `sizes with a name: ${presetNames.join(', ')} (see below)` },
  config: { text: 'a JSON file with one object of the options below, named as in featureCount', value: 'file' },
  resume: { text: 'go on with the run in --out from its newest checkpoint' },
});

const modelFlags = flagsOf('Model:', modelShape, {
  model: null,
  version: null,
  tokenizer: null,
  vocabularySize: { text: 'tokens that there are; bytes need 256' },
  dim: { text: 'width of the residual stream', fallback: fromPreset },
  depth: { text: 'blocks', fallback: fromPreset },
  heads: { text: 'attention heads', fallback: fromPreset },
  headDim: { text: 'width of a head; even for rotary positions', fallback: fromPreset },
  feedForwardMultiplier: { text: 'hidden width of the feed-forward layers, in dims' },
  attention: { text: 'linear-time FAVOR+; or exact softmax, or none at all (the values pass), for comparison' },
  featureMap: { text: 'the features that stand for the kernel of attention; step trains no queries and keys' },
  featureCount: { text: 'features of a head', fallback: 'from the preset, or headDim·ln(headDim)' },
  projectionKind: { text: 'rows of the random projections; none: the function of the features itself' },
  rowNorm: { text: 'norms of those rows: as of normal vectors, or √headDim' },
  kernelEpsilon: { text: 'added to generalised features', fallback: '0.001, or 0 where they are signed' },
  polynomialDegree: { text: 'of polynomial features', fallback: '2' },
  polynomialOffset: { text: 'of polynomial features: c in (q·k/√headDim + c)^degree', fallback: '1' },
  positionSpan: { text: 'of cosformer features: the longest distance in tokens', fallback: '4096' },
  chunk: { text: 'tokens that causal attention takes at once; changes the speed alone' },
  positions: { text: 'how positions enter' },
  maxLength: { text: 'the longest text, for learned positions', fallback: 'none' },
  tokenShift: { text: 'half of the channels look at the token before' },
  tiedEmbedding: { text: 'the logits use the embedding' },
  embeddingDropout: { text: 'part of the embedding dropped in training' },
  attentionDropout: { text: 'part of the attention output dropped in training' },
  feedForwardDropout: { text: 'part of the feed-forward layers dropped in training' },
});

const trainingFlags = flagsOf('Training:', trainingShape, {
  seed: { text: 'of everything random: equal seeds give equal runs' },
  steps: { text: 'optimizer steps in all', fallback: fromPreset },
  batch: { text: 'windows side by side', fallback: fromPreset },
  window: { text: 'tokens of a window', fallback: fromPreset },
  accumulation: { text: 'batches whose gradients are averaged for one step' },
  learningRate: { text: 'the highest learning rate', fallback: fromPreset },
  schedule: {
    text: 'how the learning rate falls after the warm-up; a run with one of the last two can be made longer without a jump',
  },
  warmup: { text: 'steps over which the learning rate rises', fallback: 'a twentieth of the steps' },
  finalFraction: { text: 'the last learning rate as a part of the highest' },
  beta1: { text: 'AdamW: decay of the mean of the gradients' },
  beta2: { text: 'AdamW: decay of the mean of their squares' },
  adamEpsilon: { text: 'AdamW: added to the root of the latter' },
  weightDecay: { text: 'AdamW: decay of the weights, times the learning rate' },
  clipNorm: { text: 'the largest norm of the gradient' },
  carryState: { text: 'read the text in order, and carry the state from window to window' },
  recompute: { text: 'compute the blocks again for the gradient: less memory, a fifth more time' },
  redrawInterval: { text: 'steps between new random projections; 0: never' },
  heldOut: { text: 'the part at the end of the text that is held out' },
  evaluationInterval: { text: 'steps between evaluations on it', fallback: 'a tenth of the steps, 200 at least' },
  checkpointInterval: { text: 'steps between checkpoints', fallback: 'a tenth of the steps' },
  keep: { text: 'checkpoints to keep beside the best' },
});

/** Those that a config file may hold. */
export const optionFlags: readonly Flag[] = [...modelFlags, ...trainingFlags];

export const trainFlags: readonly Flag[] = [...runFlags, ...optionFlags, ...engineFlags];

/** What --help says of the presets. */
export function presetTable(): string {
  return presetNames
    .map((name) => {
      const sizes = Object.entries({ ...presets[name].model, ...presets[name].training });
      return `  ${name.padEnd(6)} ${sizes.map(([key, value]) => `--${flagName(key)} ${value}`).join(' ')}`;
    })
    .join('\n');
}
