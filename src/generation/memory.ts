/** The memory of a session: all that it keeps of the tokens that it has read, as arrays on the host. */
import { type AnyHostTensor, type HostTensor, int32 } from '../base/array.js';
import { emptyState, type StateSpec } from '../base/layout.js';
import type { MapLeaves } from '../base/tree.js';
import { tokenizerNamed } from '../data/index.js';
import { type Model, type TrunkRows, tokenConfig } from '../models/index.js';
import type { Reading } from './reader.js';

/** What a session knows of its tokens beside what the model keeps. */
export interface History {
  /** Which tokens were read, for the repetition penalty: [batch, vocabulary]. */
  readonly seen: HostTensor<'bool'>;
  /** The last tokens, after which decoding goes on: [batch, the tokenizer's lookback], the newest last, −1 for none. */
  readonly recent: HostTensor<'int32'>;
  /** The last bytes that `generate` did not give out, as they might begin a stop string: [count]. */
  readonly withheld: HostTensor<'int32'>;
}

/** A tensor without its data. */
export type HostLeaf = Pick<AnyHostTensor, 'dtype' | 'shape'>;

/** All that a session keeps of its tokens. */
export interface Memory extends Reading, History {
  /** What the state does not hold yet, [batch, heads, count, ·]; nothing where no token stands beside it. */
  readonly deferred: TrunkRows;
}

export const noTokens = int32([0], []);

/** The memory of a session that has read nothing, as a layout. */
export function memoryLayout(model: Model, batch: number): MapLeaves<Memory, StateSpec> {
  const { vocabularySize, tokenizer } = tokenConfig(model.config);
  return {
    logits: { dtype: 'float32', shape: [batch, vocabularySize], initial: 0 },
    seen: { dtype: 'bool', shape: [batch, vocabularySize], initial: 0 },
    recent: { dtype: 'int32', shape: [batch, tokenizerNamed(tokenizer).lookback], initial: -1 },
    withheld: { dtype: 'int32', shape: [0], initial: 0 },
    deferred: (model.deferral?.rows(batch, 0) ?? { blocks: [] }) as TrunkRows,
    state: model.state(batch),
  };
}

/** The memory of a session that has read nothing. */
export function emptyMemory(model: Model, batch: number): Memory {
  return emptyState(memoryLayout(model, batch)) as Memory;
}
