/** `performer convert --tolerance`: the features of each layer, chosen by the error that attention through them has on the text. */
import {
  type AttentionSamples,
  defaultCandidates,
  type FeatureCandidate,
  type Recommendation,
  recommendFeatures,
} from '../attention/index.js';
import type { TokenSource } from '../data/index.js';
import type { Engine } from '../engine/index.js';
import { isShaped } from '../features/index.js';
import { attentionSamples, type LoadedModel, type ModelConfig, mixersByLayer, modelConfig } from '../models/index.js';
import type { Io } from './io.js';
import { readWindows } from './sampled-windows.js';

/** Shaped maps are measured in training, and are no candidates before it. */
const candidates = defaultCandidates.filter(({ name }) => !isShaped(name));

type Chosen = FeatureCandidate & { readonly featureCount: number; readonly error: number };

interface Choosing {
  readonly engine: Engine;
  /** The exact model, whose queries and keys the features are compared on. */
  readonly teacher: LoadedModel;
  readonly text: TokenSource;
  readonly window: number;
  readonly tolerance: number;
}

/** The config with the features that `recommendFeatures` chooses for each layer that has some, told as they are chosen. */
export async function withChosenFeatures(config: ModelConfig, choosing: Choosing, io: Io): Promise<ModelConfig> {
  const { engine, teacher, text, window, tolerance } = choosing;
  const tokens = await readWindows('convert', text, window, 1);
  const samples = await attentionSamples(engine, teacher.model, teacher, tokens);
  const attention: object[] = [];
  for (const [layer, own] of mixersByLayer(config).entries()) {
    if (!('features' in own)) {
      attention.push(own);
      continue;
    }
    const { name, featureCount, projectionKind, rowNorm, error } = await chosenFor(engine, samples[layer]!, tolerance);
    const told = `block ${layer + 1}: ${name} features, ${featureCount}, attention's error ${error.toFixed(3)}`;
    io.stdout.write(error <= tolerance ? `${told}\n` : `${told}, the least of all: none is within ${tolerance}\n`);
    const drawn = { featureCount, projectionKind, rowNorm };
    attention.push({ ...own, features: { name, ...(name === 'taylor' ? {} : drawn) } });
  }
  return modelConfig({ ...config, attention }, 'convert');
}

async function chosenFor(engine: Engine, samples: AttentionSamples, tolerance: number): Promise<Chosen> {
  const found = await recommendFeatures(engine, samples, { tolerance, candidates });
  if (found.best !== undefined) return found.best;
  return nearestOf(await recommendFeatures(engine, samples, { tolerance, candidates, measuresAll: true }));
}

/** What has the least error, where nothing reaches the tolerance. */
function nearestOf({ candidates: reports }: Recommendation): Chosen {
  const measured = reports.flatMap(({ estimates, ...candidate }) =>
    estimates.map(({ featureCount, measured: error = Number.POSITIVE_INFINITY }) => ({
      ...candidate,
      featureCount,
      error,
    })),
  );
  return measured.reduce((best, each) => (each.error < best.error ? each : best));
}
