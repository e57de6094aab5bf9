/** Pretrained models of other systems: which of our models a config.json is, and what becomes of the tensors. */
export { isPretrained, type PretrainedModel, pretrainedModel, pretrainedNames } from './registry.js';
export { checkShard, indexFile, shardsOf } from './shards.js';
export { planTensors, type TensorLayout, translateTensors } from './translate.js';
