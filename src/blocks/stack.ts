/**
 * A stack: blocks one after another, as one branch. It decides what is kept for the gradient: all, or the inputs of each
 * block alone, from which the rest is computed again (docs/memory.md).
 */
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import { branchBuffers } from '../base/layout.js';
import { type RecomputedInputs, recomputed, scope, type Tensor } from '../graph/index.js';
import type { AttendedRows, Branch, BranchResult, Deferral, TokenContext } from './branch.js';
import type { DropoutKey } from './dropout.js';

type List = readonly object[];

/** What a stack gives. */
export interface StackResult extends BranchResult<List, List> {
  /** What the attention of each block compares; undefined for a block without attention. */
  readonly attendedByBlock: readonly (AttendedRows | undefined)[];
}

/**
 * Blocks one after another, as one branch. The last argument of `apply` says whether they are computed again for the
 * gradient.
 */
export interface Stack extends Branch<List, List, List, List> {
  readonly blocks: readonly Branch[];
  apply(...given: [...Parameters<Branch<List, List, List, List>['apply']>, boolean?]): StackResult;
}

type BlockInputs = RecomputedInputs<
  { readonly x: Tensor; readonly key: DropoutKey | undefined; readonly source: Tensor | undefined },
  object
>;

/** Blocks called `<path>.0`, `<path>.1`, … */
export function stack(path: string, blocks: readonly Branch[]): Stack {
  return {
    blocks,
    params: blocks.map(({ params }) => params) as readonly ParameterSpec[],
    buffers: blocks.map(({ buffers }, layer) => branchBuffers(buffers, layer)) as readonly BufferSpec[],
    state: (batch) => blocks.map((block) => block.state(batch)) as readonly StateSpec[],
    deferral: deferralOf(blocks),
    apply({ params, buffers }, x, context, memory, recompute = false) {
      const results: BranchResult[] = [];
      const output = blocks.reduce((stream, block, layer) => {
        const own = memory && { state: memory.state[layer] ?? {}, rows: memory.rows?.[layer] };
        const run = ({ activations, params: learned }: BlockInputs) =>
          block.apply(
            { params: learned, buffers: buffers[layer] ?? {} },
            activations.x,
            withActivations(context, activations),
            own,
          );
        const activations = { x: stream, key: context.dropout?.key, source: context.source?.hidden };
        const inputs = { activations, params: params[layer] ?? {} };
        const result = scope(`${path}.${layer}`, () => (recompute ? recomputed(inputs, run) : run(inputs)));
        results.push(result);
        return result.output;
      }, x);
      return {
        output,
        state: results.map(({ state }) => state),
        row: memory?.rows && results.map(({ row = {} }) => row),
        attendedByBlock: results.map(({ attended }) => attended),
      };
    },
  };
}

/** The context with a key of dropout and a source that wait for the gradient, where they are recomputed. */
function withActivations(context: TokenContext, { key, source: hidden }: BlockInputs['activations']): TokenContext {
  const { dropout, source } = context;
  return {
    ...context,
    dropout: dropout && key && { ...dropout, key },
    source: source && hidden && { ...source, hidden },
  };
}

function deferralOf(blocks: readonly Branch[]): Deferral<List, List> | undefined {
  if (blocks.some(({ deferral }) => deferral === undefined)) return undefined;
  const each = blocks.map(({ deferral }) => deferral as Deferral);
  return {
    state: (batch) => each.map((deferral) => deferral.state(batch)) as readonly StateSpec[],
    rows: (batch, window) => each.map((deferral) => deferral.rows(batch, window)) as readonly StateSpec[],
    settle: (state, rows) => each.map((deferral, layer) => deferral.settle(state[layer]!, rows[layer]!)),
    isTaken: (row) => each.every((deferral, layer) => deferral.isTaken((row as List)[layer]!)),
  };
}
