/** The options of `performer train --from`: those of the model that a training goes on from. */
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import { parseOptions } from '../base/options.js';
import { leavesOf } from '../base/tree.js';
import { familyOptions, type LoadedModel, type Model, modelConfig, modelOf, tokenizerOf } from '../models/index.js';
import { furtherTraining, trainingOf, trainingSchema } from '../training/config.js';
import { usageError } from './command.js';
import { nestedOptions, pickValues } from './option-values.js';
import { modelNamesOf } from './train-flags.js';
import { type AskedOptions, problemsOf, type RunOptions, topOf } from './train-options.js';

/**
 * The options of a run that goes on from a model: those of that model, but for what is told of texts, and what was asked for of the
 * training. Throws USAGE for what the model decides, and for a model that cannot learn the task.
 */
export function continuedOptions(
  { own, preset, isPresetNamed, nameOf, family }: AskedOptions,
  from: LoadedModel,
): RunOptions {
  const isOfModel = (key: string) => modelNamesOf(family).includes(topOf(key));
  const { targets: _, ...shared } = familyOptions(from.model.config, family);
  const base: Readonly<Record<string, unknown>> = 'targets' in own ? shared : familyOptions(from.model.config, family);
  const decided = Object.keys(own).filter((key) => isOfModel(key) && topOf(key) in base);
  if (decided.length > 0) {
    throw usageError(`${decided.map(nameOf).join(', ')}: the model of --from decides it. Leave it out.`);
  }
  try {
    const model = modelConfig({ ...base, ...nestedOptions(pickValues(own, isOfModel)) }, '--from');
    expectBeginning(modelOf(model), from.model);
    if (modelOf(model).image === undefined) tokenizerOf(model);
    const { maxLength = Number.POSITIVE_INFINITY } = modelOf(model);
    const ofTraining = {
      ...pickValues(preset, (key) => !isOfModel(key)),
      ...(!isPresetNamed && furtherTraining(own)),
      ...pickValues(own, (key) => !isOfModel(key)),
    };
    const window = 'window' in own ? own.window : Math.min(preset.window as number, maxLength);
    const training = parseOptions('train', trainingSchema, nestedOptions({ ...ofTraining, window }));
    const problems = problemsOf({ model, training }, own).map(([key, message]) => `${nameOf(key)}: ${message}`);
    if (problems.length > 0) throw usageError(`${problems.join('; ')}. See --help.`);
    return { model, training: trainingOf(modelOf(model), training) };
  } catch (cause) {
    if (cause instanceof PerformerError && cause.code === 'CONFIG') throw usageError(cause.message, { cause });
    throw cause;
  }
}

/** Throws USAGE unless the blocks of a model can begin as those of another. */
function expectBeginning(model: Model, from: Model): void {
  const known = new Set(leavesOf(from.params).map(([path]) => path));
  const missing = leavesOf(model.params).some(([path]) => path.startsWith('blocks.') && !known.has(path));
  if (!missing && model.isCausal === from.isCausal) return;
  const expected = `a model that begins ${model.config.model}s`;
  throw usageError(`--from: expected ${expected}, got ${withArticle(from.config.model)}. Name another task or model.`);
}
