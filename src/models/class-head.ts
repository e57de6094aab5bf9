/**
 * The head of a classifier of texts: hidden [batch, dim] → [batch, outputs], a linear layer. A layer of dim × dim may stand before it:
 * tanh(xW + b) as in BERT (Devlin et al. 2019) and RoBERTa, or relu(xW + b) as in DistilBERT (Sanh et al. 2019).
 */
import * as z from 'zod';
import type { ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { type LinearParams, linear, linearLayout } from '../blocks/index.js';
import { relu, scope, type Tensor, tanh } from '../graph/index.js';
import type { Model } from './model.js';

/** The options of this head. */
export const classHeadFields = {
  headLayer: option(
    z.enum(['none', 'tanh', 'relu']).default('none'),
    'a layer of dim × dim with this activation stands before the head, as in BERT (tanh) or DistilBERT (relu)',
  ),
};

type HeadLayer = z.output<typeof classHeadFields.headLayer>;

const activations = { none: undefined, tanh, relu } as const;

export interface ClassHeadParams<T = Tensor> {
  /** [dim, dim] */
  readonly headLayer?: LinearParams<T> | undefined;
  /** [dim, outputs] */
  readonly head: LinearParams<T>;
}

/** The paths of its weights, which are multiplied once for a text, and not for each token. */
export const classHeadTables = ['headLayer.weight', 'head.weight'];

export function classHeadLayout(headLayer: HeadLayer, dim: number, outputs: number): ClassHeadParams<ParameterSpec> {
  return {
    headLayer: headLayer === 'none' ? undefined : linearLayout(dim, dim),
    head: linearLayout(dim, outputs),
  };
}

/** hidden [batch, dim] → [batch, outputs], of a model of this option. */
export function classHead(headLayer: HeadLayer): Model['head'] {
  const activation = activations[headLayer];
  return ({ params }, hidden) => {
    const own = params as ClassHeadParams;
    const x = activation === undefined ? hidden : scope('headLayer', () => activation(linear(own.headLayer!, hidden)));
    return scope('head', () => linear(own.head, x));
  };
}
