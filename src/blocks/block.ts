/**
 * The residual block: x + branch(shift(norm(x))), or another step of `residual.ts`, for each of its slots in turn, usually
 * attention and the feed-forward layer. In a parallel block (GPT-J, Wang & Komatsuzaki 2021) all slots read x itself. A block is itself a branch over slots, so that a stack handles it as one, or takes
 * its steps one by one.
 */
import type { Dim } from '../base/dimension.js';
import type { BufferSpec, ParameterSpec, StateSpec } from '../base/layout.js';
import { add, scope, type Tensor } from '../graph/index.js';
import { type Branch, type BranchResult, type Deferral, joinDeferrals } from './branch.js';
import { type DropoutRates, dropout } from './dropout.js';
import type { NormParams } from './normalization.js';
import { type NormOptions, type Residual, residual } from './residual.js';
import { noTokens, shiftedChannels, shiftTokens, shiftWidth } from './token-shift.js';

/** A place for a branch: `attention` has the parameters `attention` and `attentionNorm`, and the state `attentionShift`. */
export interface Slot {
  readonly name: string;
  readonly branch: Branch;
  /** How much of its output is dropped in training. */
  readonly rate: keyof DropoutRates;
}

export interface BlockOptions {
  /** The model path of the block, which tells its dropout from that of others. */
  readonly path: string;
  readonly dim: number;
  readonly slots: readonly Slot[];
  readonly norm: NormOptions;
  /** Whether all slots read what the block reads, and none what another adds; not unless given. */
  readonly isParallel?: boolean | undefined;
  /** How many tokens before give half of the channels of what a branch reads, each of them as many. */
  readonly tokenShift: number;
}

type Parts<T> = Readonly<Record<string, T>>;

/** The parts of each slot in one object: `{ attentionNorm, attention, feedForwardNorm, feedForward }`. */
function partsOf<T>(slots: readonly Slot[], build: (slot: Slot) => Parts<T | undefined>): Parts<T> {
  const entries = slots.flatMap((slot) => Object.entries(build(slot)));
  return Object.fromEntries(entries.filter(([, part]) => part !== undefined)) as Parts<T>;
}

/** One slot: what it adds to a stream, dropout(branch(shift(norm(x)))). Its state and its row are parts of the block's. */
export interface Step extends Pick<Branch, 'apply'> {
  readonly name: string;
}

type Trees = Branch<Parts<object>, Parts<object>, Parts<object>, Parts<object>>;

/** The slots as one branch: x [batch, length, dim] → [batch, length, dim], the residual stream included. */
export interface Block extends Branch {
  readonly steps: readonly Step[];
}

export function block(options: BlockOptions): Block {
  const { dim, slots, tokenShift } = options;
  const around = residual(options.norm, dim);
  const shift = (batch: Dim): StateSpec => ({
    dtype: 'float32',
    shape: [batch, tokenShift, shiftWidth(dim)],
    initial: 0,
  });
  const params = partsOf<object>(slots, ({ name, branch }) => ({
    [`${name}${around.part}`]: around.params,
    [name]: branch.params,
  }));
  const steps = slots.map((slot) => stepOf(slot, options, around));
  const own: Trees = {
    params: params as Parts<ParameterSpec>,
    buffers: partsOf<object>(slots, ({ name, branch }) => ({ [name]: branch.buffers })) as Parts<BufferSpec>,
    state: (batch) =>
      partsOf<object>(slots, ({ name, branch }) => ({
        [name]: branch.state(batch),
        [`${name}Shift`]: tokenShift > 0 ? shift(batch) : undefined,
      })) as Parts<StateSpec>,
    deferral: deferralOf(slots),
    apply(weights, x, context, memory) {
      let output = x;
      const results = steps.map((step) =>
        scope(step.name, () => {
          const result = step.apply(weights, options.isParallel ? x : output, context, memory);
          const own = weights.params[`${step.name}${around.part}`] as NormParams;
          output = around.leave(own, add(output, result.output));
          return result;
        }),
      );
      return { ...joinSteps(results), output } as BranchResult<Parts<object>, Parts<object>>;
    },
  };
  return { ...own, steps };
}

/** What the steps of a block give beside their outputs. */
export function joinSteps<R extends Omit<BranchResult, 'output'>>(results: readonly R[]): Omit<R, 'output'> {
  const sharing = results.find(({ shared }) => shared !== undefined);
  const rows = results.flatMap(({ row }) => row ?? []);
  return {
    state: Object.assign({}, ...results.map(({ state }) => state)),
    row: rows.length === 0 ? undefined : Object.assign({}, ...rows),
    attended: results.find(({ attended }) => attended !== undefined)?.attended,
    shared: sharing?.shared,
    sharedWeights: sharing?.sharedWeights,
  } as R;
}

function stepOf({ name, branch, rate }: Slot, { path, dim, tokenShift }: BlockOptions, around: Residual): Step {
  const own: Pick<Trees, 'apply'> = {
    apply({ params, buffers }, x, context, memory) {
      const step = params[`${name}${around.part}`] as NormParams;
      const entered = around.enter(step, x);
      const before =
        tokenShift === 0
          ? undefined
          : ((memory?.state[`${name}Shift`] as Tensor | undefined) ?? noTokens(x.shape[0] as Dim, tokenShift, dim));
      const shifted = before === undefined ? entered : shiftTokens(entered, before);
      const last = before && context.takeLast(shiftedChannels(entered), before);
      const own = { params: params[name] ?? {}, buffers: buffers[name] ?? {} };
      const result = branch.apply(
        own,
        shifted,
        context,
        memory && { state: memory.state[name] ?? {}, rows: memory.rows && (memory.rows[name] ?? {}) },
      );
      const { rates, key } = context.dropout ?? {};
      return {
        ...result,
        output: around.scale(step, dropout(result.output, rates?.[rate] ?? 0, `${path}.${name}`, key)),
        state: { [name]: result.state, ...(last && { [`${name}Shift`]: last }) },
        sharedWeights: result.shared && own,
        row: memory?.rows && (result.row === undefined ? {} : { [name]: result.row }),
      };
    },
  };
  return { ...own, name };
}

/** Tokens can be read beside the state of a block where they can beside that of each branch that has one, if any. */
function deferralOf(slots: readonly Slot[]): Deferral<Parts<object>, Parts<object>> | undefined {
  const stateful = slots.filter(({ branch }) => Object.keys(branch.state(1)).length > 0);
  if (stateful.some(({ branch }) => branch.deferral === undefined)) return undefined;
  return joinDeferrals<Parts<object>, Parts<object>>(
    Object.fromEntries(stateful.map(({ name, branch }) => [name, branch.deferral as Deferral])),
  );
}
