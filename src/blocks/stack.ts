/**
 * A stack: blocks one after another, as one branch. It decides what is kept for the gradient: all, or the inputs of each
 * block alone, from which the rest is computed again (docs/memory.md).
 *
 * A reversible stack has two streams, both of which begin as x, and each step of a block reads the one and adds to the
 * other: (a, b) → (b, a + f(b)). With attention f and feed-forward layer g that is y₁ = x₁ + f(x₂), y₂ = x₂ + g(y₁) for
 * each block (Reformer, Kitaev et al. 2020). It gives the sum of both. Its gradient may keep the last streams alone.
 */
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import { branchBuffers } from '../base/layout.js';
import { leavesOf } from '../base/tree.js';
import {
  add,
  type Coupling,
  type RecomputedInputs,
  recomputed,
  reversedSum,
  scope,
  type Tensor,
} from '../graph/index.js';
import { type Block, joinSteps } from './block.js';
import type {
  AttendedRows,
  Branch,
  BranchResult,
  Deferral,
  SharedAttention,
  SharedRows,
  TokenContext,
  Weights,
} from './branch.js';
import type { DropoutKey } from './dropout.js';

type List = readonly object[];

/** What a stack gives. */
export interface StackResult extends BranchResult<List, List> {
  /** What each block gives, the residual stream included; of a reversible stack what each step adds. */
  readonly outputs: readonly Tensor[];
  /** What the attention of each block compares; undefined for a block without attention. */
  readonly attendedByBlock: readonly (AttendedRows | undefined)[];
}

/**
 * What is kept for the gradient: all intermediate values, the inputs of each block or of each reversible step, or the
 * last streams of a reversible stack.
 */
export type Kept = 'all' | 'inputs' | 'last';

/** Blocks one after another, as one branch. The last argument of `apply` says what is kept for the gradient: all unless given. */
export interface Stack extends Branch<List, List, List, List> {
  readonly blocks: readonly Block[];
  apply(...given: [...Parameters<Branch<List, List, List, List>['apply']>, Kept?]): StackResult;
}

interface Activations {
  readonly x: Tensor;
  readonly key: DropoutKey | undefined;
  readonly source: Tensor | undefined;
  readonly shared: SharedRows | undefined;
}

interface Learned {
  readonly own: object;
  /** Of the layer whose attention is shared. */
  readonly lent: object | undefined;
}

/** What is computed again as a whole: a block, or a step of a reversible one. */
interface Unit {
  readonly layer: number;
  readonly path: string;
  readonly apply: Branch['apply'];
}

/** How a stack is run. */
export interface StackOptions {
  /** Whether there are two streams; not unless given. */
  readonly isReversible?: boolean | undefined;
}

/** Blocks called `<path>.0`, `<path>.1`, … */
export function stack(path: string, blocks: readonly Block[], { isReversible = false }: StackOptions = {}): Stack {
  const units = blocks.flatMap((block, layer) => unitsOf(block, layer, path, isReversible));
  return {
    blocks,
    params: blocks.map(({ params }) => params) as readonly ParameterSpec[],
    buffers: blocks.map(({ buffers }, layer) => branchBuffers(buffers, layer)) as readonly BufferSpec[],
    state: (batch) => blocks.map((block) => block.state(batch)) as readonly StateSpec[],
    deferral: deferralOf(blocks),
    apply(weights, x, context, memory, kept = 'all') {
      const layers: BranchResult[][] = blocks.map(() => []);
      const couplings: Coupling<Activations, Learned>[] = [];
      let handedOn: SharedAttention | undefined;
      let [first, second] = [x, x]; // one and the same unless reversible
      for (const { layer, path, apply } of units) {
        const before = memory && { state: memory.state[layer] ?? {}, rows: memory.rows?.[layer] };
        const lender = handedOn?.weights;
        const build = ({ activations, params }: RecomputedInputs<Activations, Learned>) =>
          scope(path, () => {
            const own = { params: params.own, buffers: weights.buffers[layer] ?? {} };
            const lent = lender && { params: params.lent ?? {}, buffers: lender.buffers };
            return apply(own, activations.x, withActivations(context, activations, lent), before);
          });
        const [key, source] = [context.dropout?.key, context.source?.hidden];
        const activations = { x: context.streams?.[layer] ?? second, key, source, shared: handedOn?.rows };
        const inputs = { activations, params: { own: weights.params[layer] ?? {}, lent: lender?.params } };
        const result = kept === 'inputs' ? recomputed(inputs, build) : build(inputs);
        layers[layer]!.push(result);
        couplings.push({ inputs, build, result });
        const { shared, sharedWeights } = result;
        if (shared !== undefined && sharedWeights !== undefined) handedOn = { rows: shared, weights: sharedWeights };
        [first, second] = isReversible ? [second, add(first, result.output)] : [result.output, result.output];
      }
      const joined = layers.map(joinSteps);
      return {
        output: isReversible ? sumOf(x, couplings, [first, second], kept) : second,
        state: joined.map(({ state }) => state),
        outputs: couplings.map(({ result }) => result.output),
        row: memory?.rows && joined.map(({ row = {} }) => row),
        attendedByBlock: joined.map(({ attended }) => attended),
      };
    },
  };
}

function unitsOf(block: Block, layer: number, path: string, isReversible: boolean): readonly Unit[] {
  const name = `${path}.${layer}`;
  if (!isReversible) return [{ layer, path: name, apply: block.apply }];
  return block.steps.map(({ name: step, apply }) => ({ layer, path: `${name}.${step}`, apply }));
}

function sumOf(
  x: Tensor,
  couplings: readonly Coupling<Activations, Learned>[],
  streams: readonly [Tensor, Tensor],
  kept: Kept,
): Tensor {
  return kept === 'last' ? reversedSum(x, couplings, streams) : add(...streams);
}

/** The context with what waits for the gradient where it is computed again, and what an earlier layer hands on. */
function withActivations(
  context: TokenContext,
  { key, source: hidden, shared: rows }: Activations,
  lent: Weights | undefined,
): TokenContext {
  const { dropout, source } = context;
  return {
    ...context,
    dropout: dropout && key && { ...dropout, key },
    source: source && hidden && { ...source, hidden },
    shared: rows && lent && { rows, weights: lent },
  };
}

function deferralOf(blocks: readonly Block[]): Deferral<List, List> | undefined {
  if (blocks.some(({ deferral }) => deferral === undefined)) return undefined;
  const each = blocks.map(({ deferral }) => deferral as Deferral);
  // Where no block has rows, there is nothing to put off.
  if (leavesOf(each.map((deferral) => deferral.rows(1, 1))).length === 0) return undefined;
  return {
    state: (batch) => each.map((deferral) => deferral.state(batch)) as readonly StateSpec[],
    rows: (batch, window) => each.map((deferral) => deferral.rows(batch, window)) as readonly StateSpec[],
    settle: (state, rows) => each.map((deferral, layer) => deferral.settle(state[layer]!, rows[layer]!)),
    isTaken: (row) => each.every((deferral, layer) => deferral.isTaken((row as List)[layer]!)),
  };
}
