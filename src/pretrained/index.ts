/** Pretrained models of other systems: which of our models a config.json is, and what becomes of the tensors. */
export type { OwnConfig } from './family.js';
export { type GgufModel, ggufModel, ropeFactors } from './gguf.js';
export { ggufTokenizer } from './gguf-tokenizer.js';
export { pixelScale, preprocessorFile } from './image-processor.js';
export {
  isPretrained,
  type PretrainedModel,
  pretrainedConfigs,
  pretrainedModel,
  pretrainedNames,
  writtenNames,
} from './registry.js';
export { modulesFile, sentenceFiles, sentenceSettings, sentenceVectors } from './sentence.js';
export { checkShard, indexFile, shardsOf } from './shards.js';
export {
  planTensors,
  pretrainedTensors,
  replacedTensors,
  type TensorLayout,
  translateTensors,
} from './translate.js';
