/**
 * The twin of BERT, RoBERTa and DistilBERT in float64, as their papers have them: for one text without padding, what
 * stands behind the layers. Goldens of the originals hold it (test/pretrained/heads.test.ts).
 */
import { gelu, layersOf, plus, type Rows, softmaxAttention, type Tensors } from './twin.js';

/** How a family names its layers, and where its positions begin. */
interface Names {
  readonly prefix: string;
  readonly layer: string;
  /** Queries, keys, values and the output of attention. */
  readonly attention: readonly [string, string, string, string];
  readonly attentionNorm: string;
  readonly feedForward: readonly [string, string];
  readonly feedForwardNorm: string;
  readonly firstPosition: number;
  readonly epsilon: number;
}

const bert: Names = {
  ...{ prefix: 'bert', layer: 'encoder.layer', firstPosition: 0, epsilon: 1e-12 },
  attention: ['attention.self.query', 'attention.self.key', 'attention.self.value', 'attention.output.dense'],
  ...{ attentionNorm: 'attention.output.LayerNorm', feedForwardNorm: 'output.LayerNorm' },
  feedForward: ['intermediate.dense', 'output.dense'],
};

export const twinNames = {
  bert,
  roberta: { ...bert, prefix: 'roberta', firstPosition: 2, epsilon: 1e-5 },
  distilbert: {
    ...{ prefix: 'distilbert', layer: 'transformer.layer', firstPosition: 0, epsilon: 1e-12 },
    attention: ['attention.q_lin', 'attention.k_lin', 'attention.v_lin', 'attention.out_lin'],
    ...{ attentionNorm: 'sa_layer_norm', feedForwardNorm: 'output_layer_norm' },
    feedForward: ['ffn.lin1', 'ffn.lin2'],
  },
} satisfies Readonly<Record<string, Names>>;

/** Hidden layers [length][dim] behind the last layer, of a file with 4 heads; tokens are of the first kind unless `types` are given. */
export function bertHidden(names: Names, tensors: Tensors, tokens: readonly number[], types?: readonly number[]): Rows {
  const { matrix, linear, normalized } = layersOf(tensors);
  const own = (name: string) => `${names.prefix}.${name}`;
  const words = matrix(own('embeddings.word_embeddings.weight'));
  const positions = matrix(own('embeddings.position_embeddings.weight')).slice(names.firstPosition);
  const kinds = own('embeddings.token_type_embeddings.weight');
  const ofKind = tensors.has(kinds) ? matrix(kinds) : [words[0]!.map(() => 0)];
  const embedded = tokens.map((token, at) => {
    const kind = ofKind[types?.[at] ?? 0]!;
    return words[token]!.map((value, channel) => value + positions[at]![channel]! + kind[channel]!);
  });
  let x = normalized(own('embeddings.LayerNorm'), embedded, names.epsilon);
  for (let layer = 0; tensors.has(own(`${names.layer}.${layer}.${names.attention[0]}.weight`)); layer++) {
    const part = (name: string) => own(`${names.layer}.${layer}.${name}`);
    const [query, key, value, output] = names.attention.map(part) as [string, string, string, string];
    const seen = softmaxAttention(linear(query, x), linear(key, x), linear(value, x), 4);
    x = normalized(part(names.attentionNorm), plus(x, linear(output, seen)), names.epsilon);
    const [expand, contract] = names.feedForward.map(part) as [string, string];
    const wide = linear(expand, x).map((row) => row.map(gelu));
    x = normalized(part(names.feedForwardNorm), plus(x, linear(contract, wide)), names.epsilon);
  }
  return x;
}
