/**
 * Presets: sizes with names, and a window, batch, rate and number of steps that suit them. The sizes hold for every family of
 * models and every task; the parameters that are told are those of a language model over bytes. A family may have a way to
 * attend and other options that suit it better than FAVOR+ alone, which its presets have (`presetOf`).
 */
import { modelFamily } from './registry.js';

/** Learns more from each step than AdamW: of language models, of encoders and of classifiers (docs/quality.md). */
const muon = { optimizer: 'muon' } as const;

/** Sizes with names, and the training that suits them. */
export const presets = {
  /** 1.4 M parameters: a language model learns a book on a laptop in some minutes. */
  tiny: {
    model: { dim: 192, depth: 3, heads: 6, headDim: 32, attention: { features: { featureCount: 96 } } },
    training: { ...muon, window: 256, batch: 4, learningRate: 6e-3, steps: 560, evaluationInterval: 280 },
  },
  /** 19 M parameters. */
  small: {
    model: { dim: 512, depth: 6, heads: 8, headDim: 64, attention: { features: { featureCount: 256 } } },
    training: { ...muon, window: 1024, batch: 4, learningRate: 1e-3, steps: 10_000 },
  },
  /** 85 M parameters. */
  base: {
    model: { dim: 768, depth: 12, heads: 12, headDim: 64, attention: { features: { featureCount: 256 } } },
    training: { ...muon, window: 2048, batch: 4, learningRate: 6e-4, steps: 50_000 },
  },
} as const;

/** The name of a preset. */
export type PresetName = keyof typeof presets;

/** The options of a preset for a family of models: by name, those of the model and those of its training. */
export function presetOf(name: PresetName, family: string): { readonly model: object; readonly training: object } {
  const { model, training } = presets[name];
  const own = modelFamily(family).preset;
  return { model: { ...model, ...own, attention: { ...own?.attention, ...model.attention } }, training };
}
