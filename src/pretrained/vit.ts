/**
 * ViT (Dosovitskiy et al. 2021): an image classifier by patches with a class token, whose place is the first of the learned positions and
 * the last of ours. Its patches are a convolution whose stride is its width.
 */
import * as z from 'zod';
import { bertLayers } from './bert.js';
import {
  activation,
  activationNamed,
  activationOf,
  encoderNames,
  epsilon,
  hiddenOf,
  pretrainedFamily,
  size,
} from './family.js';
import { classTargets, labelFields, labelsOf } from './labels.js';
import { linear, norm, same, type TensorRule } from './tensors.js';

const fields = {
  ...{ hidden_size: size, num_hidden_layers: size, num_attention_heads: size, intermediate_size: size },
  hidden_act: activation.default('gelu'),
  layer_norm_eps: epsilon.default(1e-12),
  ...{ image_size: size.default(224), patch_size: size.default(16), num_channels: z.literal([1, 3]).default(3) },
  qkv_bias: z.boolean().default(true),
  ...labelFields,
  problem_type: z.literal('single_label_classification').optional(),
  // Of what our model does not have: a decoder of masked images, and the pooler.
  ...{ encoder_stride: z.unknown().optional() },
  ...{ pooler_act: z.unknown().optional(), pooler_output_size: z.unknown().optional() },
};

type Config = z.output<z.ZodObject<typeof fields>>;

const hasHead = (architecture: string) => architecture !== 'ViTModel';

/** [dim, channels, rows, columns] of a convolution, which our product has as [rows·columns·channels, dim]. */
function convolution({ num_channels: channels, patch_size: patch }: Config): TensorRule {
  return {
    ...{ from: 'embeddings.patch_embeddings.projection.weight', to: ['patches.weight'] },
    shapeOf: ([shape]) => [shape![1]!, channels, patch, patch],
    *strandsOf([shape]) {
      const [inputs, dim] = shape as [number, number];
      for (let input = 0; input < inputs; input++) {
        const [place, channel] = [Math.floor(input / channels), input % channels];
        const from = channel * patch * patch + place;
        yield { target: 0, from, fromStep: inputs, to: input * dim, toStep: 1, count: dim };
      }
    },
  };
}

/** The positions [1, places, dim], of which the first is our last. */
const positions: TensorRule = {
  ...{ from: 'embeddings.position_embeddings', to: ['positions.weight'] },
  shapeOf: ([shape]) => [1, ...shape!],
  strandsOf: ([shape]) => {
    const [places, dim] = shape as [number, number];
    const patches = (places - 1) * dim;
    return [
      { target: 0, from: dim, fromStep: 1, to: 0, toStep: 1, count: patches },
      { target: 0, from: 0, fromStep: 1, to: patches, toStep: 1, count: dim },
    ];
  },
};

export const vit = pretrainedFamily({
  modelType: 'vit',
  architectures: ['ViTForImageClassification', 'ViTModel'],
  fields: z.strictObject(fields),
  options: (config, architecture) => ({
    model: 'image-classifier',
    image: { height: config.image_size, width: config.image_size, channels: config.num_channels },
    ...{ patch: config.patch_size, pooling: 'class-token', positions: { kind: 'learned' } },
    ...{ dim: config.hidden_size, depth: config.num_hidden_layers, heads: config.num_attention_heads },
    ...{ headDim: config.hidden_size / config.num_attention_heads, qkvBias: config.qkv_bias },
    ...{ feedForwardWidth: config.intermediate_size, activation: activationOf(config.hidden_act) },
    norm: { kind: 'layer', epsilon: config.layer_norm_eps },
    targets: hasHead(architecture) ? classTargets(config) : { kind: 'classes', names: ['LABEL_0', 'LABEL_1'] },
  }),
  fieldsOf: (own) => ({
    ...{ hidden_size: own.dim, num_hidden_layers: own.depth, num_attention_heads: own.heads },
    ...{ intermediate_size: hiddenOf(own), hidden_act: activationNamed(own.activation) },
    ...{ image_size: own.image?.height, num_channels: own.image?.channels, patch_size: own.patch },
    ...{ qkv_bias: own.qkvBias, layer_norm_eps: own.norm.epsilon },
    ...(own.targets && labelsOf(own.targets)),
  }),
  prefix: 'vit.',
  nameOf: encoderNames('vit.', /^classifier\./),
  unused: ['embeddings.mask_token', 'pooler.dense.weight', 'pooler.dense.bias'],
  begun: (_, architecture) => (hasHead(architecture) ? [] : ['head.weight', 'head.bias']),
  rules: (config, architecture) => [
    convolution(config),
    same('embeddings.patch_embeddings.projection.bias', 'patches.bias'),
    same('embeddings.cls_token', 'classToken.weight', 1),
    positions,
    ...bertLayers({ self: 'attention', bias: config.qkv_bias }),
    ...norm('encoder.layer.*.layernorm_before', 'blocks.*.attentionNorm'),
    ...norm('encoder.layer.*.layernorm_after', 'blocks.*.feedForwardNorm'),
    ...norm('layernorm', 'norm'),
    ...(hasHead(architecture) ? linear('classifier', 'head') : []),
  ],
});
