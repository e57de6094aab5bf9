/**
 * The forms in which a model leaves as a graph of its own, whose weights are constants and whose sizes are symbols.
 *
 * whole: sequences as they are → what the model tells of them, and the last hidden layer.
 * streaming: tokens and a state → logits of the next token and the next state, in time and memory that do not grow where the state
 * does not. Given a single token, the graph takes the recurrent form, by an If.
 *
 * A state begins as zeros: what begins with another value gets it within the graph, in rows that have read nothing.
 */
import type { Dtype } from '../base/array.js';
import { symbol } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { type StateSpec, shapeAfter } from '../base/layout.js';
import { flattenTree, leavesOf, mapTree } from '../base/tree.js';
import type { Weights } from '../blocks/index.js';
import {
  type AnyTensor,
  conditional,
  equal,
  less,
  reshape,
  scalar,
  size,
  slice,
  spec,
  type Tensor,
  type TensorSpec,
  type TracedGraph,
  trace,
  where,
} from '../graph/index.js';
import {
  hasGrowingState,
  type InputSpecs,
  type LoadedModel,
  type Model,
  type ModelInputs,
  type TrunkState,
  targetsOf,
  told,
} from '../models/index.js';

/** The names of the forms. */
export const onnxForms = ['whole', 'streaming'] as const;
/** See the module. */
export type OnnxForm = (typeof onnxForms)[number];

/** Why a model has no streaming form; undefined where it has one. */
export function whyNotStreaming(model: Model): string | undefined {
  if (!model.isCausal) return 'one that reads in both directions';
  if (model.readSource !== undefined) return 'one that looks at a source';
  if (model.config.memoryTokens > 0 && hasGrowingState(model)) {
    return 'one with memory tokens and a state that grows, which begins in another way than it goes on';
  }
  return undefined;
}

/** The graph of a form. Throws CONFIG for a model that has none. */
export function tracedForm(where: string, loaded: LoadedModel, form: OnnxForm): TracedGraph {
  if (form === 'whole') return wholeGraph(loaded);
  const reason = whyNotStreaming(loaded.model);
  if (reason !== undefined) {
    const advice = 'Export the whole form.';
    throw new PerformerError('CONFIG', `${where}: expected a model with a streaming form, got ${reason}. ${advice}`);
  }
  return streamingGraph(loaded);
}

/** What the model reads. Padding on the right changes nothing of what a causal model says before it: it needs no lengths. */
function inputsOf(model: Model): InputSpecs {
  const { lengths, source, ...inputs } = model.inputs(symbol('batch'), symbol('length'));
  return {
    ...inputs,
    ...(!model.isCausal && lengths && { lengths }),
    ...(source && { source: spec('int32', [symbol('batch'), symbol('source')]) }),
  };
}

function wholeGraph({ model, params, buffers }: LoadedModel): TracedGraph {
  const { graph } = trace(
    (learned: object, drawn: object, inputs: ModelInputs) => {
      const { output, hidden } = model.apply({ params: learned, buffers: drawn }, inputs);
      if (output === hidden) return { hidden };
      const targets = targetsOf(model);
      if (targets === undefined) return { logits: output, hidden };
      const own = told(targets, output);
      return targets.kind === 'values' ? { values: own, hidden } : { probabilities: own, hidden };
    },
    [params, buffers, inputsOf(model)],
  );
  return graph;
}

type States = { readonly state: TrunkState };

function streamingGraph({ model, params, buffers }: LoadedModel): TracedGraph {
  const layout = model.state(symbol('batch'));
  const state = mapTree<object, StateSpec, TensorSpec<Dtype>>(layout, (part) =>
    spec(part.dtype, shapeAfter(part, symbol('past'))),
  );
  const { graph } = trace(
    (learned: object, drawn: object, { state: given }: Partial<States>, inputs: ModelInputs) => {
      const weights = { params: learned, buffers: drawn };
      const begun = begunState(layout, given as TrunkState);
      const read = (own: ModelInputs) => readOn(model, weights, own, begun);
      // A state that grows by the tokens of a run has not the same shape after one of them: those models read all alike.
      return hasGrowingState(model) ? read(inputs) : oneOrMany(inputs, read);
    },
    [params, buffers, { state }, inputsOf(model)],
  );
  return graph;
}

/** The state with its first values in the rows that have read nothing. */
function begunState(layout: TrunkState<StateSpec>, given: TrunkState): TrunkState {
  const initial = new Map(leavesOf<object, StateSpec>(layout).map(([path, part]) => [path, part.initial]));
  return mapTree<object, Tensor, Tensor>(given, (part, path) => {
    const value = initial.get(path) as number;
    if (value === 0) return part;
    const isNew = reshape(equal(given.position, scalar(0, 'int32')), [
      part.dim(0),
      ...part.shape.slice(1).map(() => 1),
    ]);
    return where(isNew, scalar(value, part.dtype), part);
  }) as TrunkState;
}

/** Logits of the token after the last one [batch, vocabulary], or of a model without tokens its hidden layers; and the state. */
function readOn(model: Model, weights: Weights, inputs: ModelInputs, state: TrunkState) {
  const { output, hidden, lastHidden, state: next } = model.apply(weights, inputs, { state });
  if (output === hidden) return { hidden, state: next };
  const logits = model.head(weights, lastHidden); // [batch, 1, vocabulary]
  return { logits: reshape(logits, [logits.dim(0), logits.dim(2)]), state: next };
}

/** `read` of the tokens, by a branch of its own where there is one of them. */
function oneOrMany<R extends object>(inputs: ModelInputs, read: (inputs: ModelInputs) => R): R {
  const { tokens } = inputs;
  if (tokens === undefined) return read(inputs);
  let restore: ((leaves: readonly AnyTensor[]) => unknown) | undefined;
  const branch = (own: ModelInputs) => () => {
    const found = flattenTree<object>(read(own));
    restore = found.restore;
    return found.leaves as readonly AnyTensor[];
  };
  const isOne = less(size(tokens.dim(1), 'int32'), scalar(2, 'int32'));
  const leaves = conditional(isOne, branch({ tokens: slice(tokens, 1, 0, 1) }), branch(inputs));
  return restore!(leaves) as R;
}
