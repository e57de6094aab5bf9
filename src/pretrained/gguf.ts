/**
 * Models of GGUF files, as llama.cpp has them, in the words of Hugging Face: the content of a config.json and the names of tensors.
 * Llama with its likes (Mistral among them) and Qwen2 are understood.
 */
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';
import type { GgufValue } from '../interop/index.js';

type Metadata = ReadonlyMap<string, GgufValue>;

/** What is known of the tensors of a file before their values are read. */
type Shapes = ReadonlyMap<string, readonly number[]>;

interface Architecture {
  readonly modelType: string;
  readonly className: string;
  /** Whether the rows of queries and keys are in the order in which llama.cpp turns them: each pair side by side. */
  readonly hasPairs: boolean;
  /** Whether queries and keys may have biases that the config has to tell. */
  readonly hasOptionalBias: boolean;
}

const architectures: Readonly<Record<string, Architecture>> = {
  llama: { modelType: 'llama', className: 'LlamaForCausalLM', hasPairs: true, hasOptionalBias: true },
  qwen2: { modelType: 'qwen2', className: 'Qwen2ForCausalLM', hasPairs: false, hasOptionalBias: false },
};

/** The fields of config.json by those of the file, without the architecture that each begins with. */
const fieldNames = {
  block_count: 'num_hidden_layers',
  context_length: 'max_position_embeddings',
  embedding_length: 'hidden_size',
  feed_forward_length: 'intermediate_size',
  'attention.head_count': 'num_attention_heads',
  'attention.head_count_kv': 'num_key_value_heads',
  'attention.key_length': 'head_dim',
  'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
  'rope.freq_base': 'rope_theta',
} as const;

/** Fields that are compared, or tell of what the others do. */
const otherFields = [
  ...['vocab_size', 'attention.value_length', 'rope.dimension_count', 'expert_count', 'expert_used_count'],
  ...['rope.scaling.type', 'rope.scaling.factor'],
];

/** The ends of a text and of a turn. */
const endTokens = ['eos_token_id', 'eot_token_id'];

/** The factors by which frequencies are divided, of Llama 3. */
export const ropeFactors = 'rope_freqs.weight';

const parts: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};
const others: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};

/** The name that a tensor has in the files of Hugging Face; what is not known keeps its own. */
function nameOf(name: string): string {
  const [, layer, part, kind] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const own = part && (layer === undefined ? others[part] : parts[part]);
  if (own === undefined) return name;
  return `${layer === undefined ? '' : `model.layers.${layer}.`}${own}.${kind}`;
}

/** A file in the words of Hugging Face. */
export interface GgufModel {
  /** The content of a config.json. */
  readonly content: Readonly<Record<string, unknown>>;
  /** The names of the tensors there, by those of the file. */
  readonly names: ReadonlyMap<string, string>;
  /** The values of a tensor in the order of Hugging Face. */
  arrange(name: string, values: Float32Array): Float32Array;
}

/**
 * What a file says.
 *
 * @param factors the values of `ropeFactors`, where the file has it.
 * @throws CONFIG for an architecture or a field that is not understood.
 */
export function ggufModel(
  where: string,
  metadata: Metadata,
  shapes: Shapes,
  factors: Float32Array | undefined,
): GgufModel {
  const kind = metadata.get('general.architecture');
  const architecture = typeof kind === 'string' && Object.hasOwn(architectures, kind) ? architectures[kind] : undefined;
  if (architecture === undefined) {
    refuse(where, `general.architecture of ${Object.keys(architectures).join(', ')}`, told(kind));
  }
  if (!shapes.has('token_embd.weight')) refuse(where, 'the weights of a model', 'a file without token_embd.weight');
  const { modelType, className, hasPairs, hasOptionalBias } = architecture;
  checkFields(where, metadata, kind as string);
  const field = (name: string) => metadata.get(`${kind}.${name}`);
  const own = Object.entries(fieldNames).map(([from, to]) => [to, rounded(field(from))] as const);
  const fields: Record<string, unknown> = Object.fromEntries(own.filter(([, value]) => value !== undefined));
  const { hidden_size: width, num_attention_heads: heads } = fields as Readonly<Record<string, number>>;
  const { num_key_value_heads: keyHeads = heads, head_dim: size = width! / heads! } = fields as Readonly<
    Record<string, number>
  >;
  for (const name of ['rope.dimension_count', 'attention.value_length'] as const) {
    const got = field(name);
    if (got !== undefined && got !== size) refuse(where, `${kind}.${name} of ${size}, the size of a head`, told(got));
  }
  const hasTensor = (name: string) => shapes.has(name);
  const names = new Map([...shapes.keys()].filter((name) => name !== ropeFactors).map((name) => [name, nameOf(name)]));
  return {
    content: {
      ...{ architectures: [className], model_type: modelType, ...fields },
      vocab_size: shapes.get('token_embd.weight')![0],
      tie_word_embeddings: !hasTensor('output.weight'),
      ...(hasOptionalBias && {
        attention_bias: hasTensor('blk.0.attn_output.bias'),
        mlp_bias: hasTensor('blk.0.ffn_down.bias'),
      }),
      rope_scaling: scalingOf(where, { kind: kind as string, field, base: fields.rope_theta ?? 10_000, size }, factors),
      eos_token_id: endTokens.map((name) => metadata.get(`tokenizer.ggml.${name}`)).filter((id) => id !== undefined),
    },
    names,
    arrange(name, values) {
      const [, part] = /^blk\.\d+\.attn_([qk])\.(weight|bias)$/.exec(name) ?? [];
      if (!hasPairs || part === undefined) return values;
      return halvesFromPairs(values, (part === 'q' ? heads : keyHeads)!, size);
    },
  };
}

/** Throws CONFIG for what would change the results and is not understood. */
function checkFields(where: string, metadata: Metadata, kind: string): void {
  const known = new Set([...Object.keys(fieldNames), ...otherFields].map((name) => `${kind}.${name}`));
  for (const [name, value] of metadata) {
    if (name.startsWith(`${kind}.`) && !known.has(name)) refuse(where, 'fields that are understood', escaped(name));
    if (known.has(name) && typeof value !== 'number' && name !== `${kind}.rope.scaling.type`) {
      refuse(where, `a number for ${name}`, told(value));
    }
  }
  for (const name of [`${kind}.expert_count`, `${kind}.expert_used_count`]) {
    const got = metadata.get(name) ?? 0;
    if (got !== 0) refuse(where, `${name} of 0, as mixtures of experts are not understood`, told(got));
  }
  const files = metadata.get('split.count') ?? 0;
  if (files !== 0 && files !== 1) {
    refuse(where, 'a model in one file', `${told(files)} files. Merge them with llama-gguf-split --merge`);
  }
}

interface Turning {
  readonly kind: string;
  field(name: string): GgufValue | undefined;
  readonly base: unknown;
  /** Of a head. */
  readonly size: number;
}

/** The rope_scaling of config.json. */
function scalingOf(
  where: string,
  { kind, field, base, size }: Turning,
  factors: Float32Array | undefined,
): object | undefined {
  const type = field('rope.scaling.type') ?? 'none';
  if (type !== 'none' && type !== 'linear') refuse(where, `${kind}.rope.scaling.type of none or linear`, told(type));
  if (factors !== undefined) return llama3Scaling(where, factors, base as number, size);
  return type === 'linear' ? { rope_type: 'linear', factor: rounded(field('rope.scaling.factor')) } : undefined;
}

/** Llama 3 turns pairs as before that turn this often or more within the texts that it learned, and those slower by the whole factor that turn less than once. */
const [lowest, highest] = [1, 4];

/**
 * What Llama 3 says in its config, from the factors that follow from it: the greatest is that of the slow pairs, and a pair between
 * slow and fast tells the length of the texts, which is 8,192 unless there is one.
 */
function llama3Scaling(where: string, factors: Float32Array, base: number, size: number): object {
  const factor = Math.round(Math.max(...factors) * 1e4) / 1e4;
  const turnsOf = (pair: number, length: number) => (length * base ** ((-2 * pair) / size)) / (2 * Math.PI);
  const between = factors.findIndex((own) => own > 1.001 && own < 0.999 * factor);
  const share = (1 / factors[between]! - 1 / factor) / (1 - 1 / factor); // of frequencies that stay
  const turns = lowest + share * (highest - lowest);
  const original = between < 0 ? 8192 : Math.round(turns / turnsOf(between, 1));
  const isSame =
    factors.length === size / 2 &&
    factors.every((own, pair) => {
      const kept = (turnsOf(pair, original) - lowest) / (highest - lowest);
      const bounded = Math.min(1, Math.max(0, kept));
      return Math.abs(own * ((1 - bounded) / factor + bounded) - 1) < 1e-3;
    });
  if (!isSame) refuse(where, `${ropeFactors} as Llama 3 has it, a factor of ${factor}`, 'other values');
  const ends = { low_freq_factor: lowest, high_freq_factor: highest };
  return { rope_type: 'llama3', factor, ...ends, original_max_position_embeddings: original };
}

/** Rows (or numbers) of heads from pairs side by side to all first ones before all second ones, as Hugging Face turns them. */
function halvesFromPairs(values: Float32Array, heads: number, size: number): Float32Array {
  const width = values.length / (heads * size);
  const into = new Float32Array(values.length);
  for (let row = 0; row < heads * size; row++) {
    const within = row % size;
    const to = row - within + (within % 2) * (size / 2) + (within >> 1);
    into.set(values.subarray(row * width, (row + 1) * width), to * width);
  }
  return into;
}

/** A float32 as the number that was meant: 1e-5 and not 9.999999747378752e-06. */
function rounded(value: GgufValue | undefined): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(7)) : value;
}

function told(value: GgufValue | undefined): string {
  if (value === undefined) return 'none';
  return typeof value === 'object' ? `a list of ${value.length}` : escaped(String(value));
}

function refuse(where: string, expected: string, got: string): never {
  const advice = 'Get the files of the model from Hugging Face instead, if they are understood.';
  throw new PerformerError('CONFIG', `${where}: expected ${expected}, got ${got}. ${advice}`);
}
