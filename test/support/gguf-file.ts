/** GGUF files for tests: written from values, or from a folder of Hugging Face as llama.cpp's converter does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTensors } from '../../src/models/node-folder.js';

/** A value of the metadata: a number is a uint32 where it is whole, and a float32 else. */
export type Given = number | boolean | string | readonly string[] | readonly number[];

export interface GivenTensor {
  readonly name: string;
  /** Slowest first. */
  readonly shape: readonly number[];
  /** The number of its type; float32 unless given. */
  readonly type?: number;
  readonly bytes: Uint8Array;
}

const alignment = 32;

/** The bytes of a file of version 3. */
export function ggufFile(metadata: Readonly<Record<string, Given>>, tensors: readonly GivenTensor[] = []): Uint8Array {
  const parts: Uint8Array[] = [];
  const number = (size: number, write: (view: DataView) => void) => {
    const bytes = new Uint8Array(size);
    write(new DataView(bytes.buffer));
    parts.push(bytes);
  };
  const uint32 = (value: number) => number(4, (view) => view.setUint32(0, value, true));
  const uint64 = (value: number) => number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(value);
    uint64(bytes.length);
    parts.push(bytes);
  };
  const float32 = (value: number) => number(4, (view) => view.setFloat32(0, value, true));
  const plain = (value: number | boolean | string) => {
    if (typeof value === 'string') return [8, () => text(value)] as const;
    if (typeof value === 'boolean') return [7, () => parts.push(Uint8Array.of(Number(value)))] as const;
    return Number.isInteger(value) ? ([4, () => uint32(value)] as const) : ([6, () => float32(value)] as const);
  };
  parts.push(new TextEncoder().encode('GGUF'));
  uint32(3);
  uint64(tensors.length);
  uint64(Object.keys(metadata).length);
  for (const [name, value] of Object.entries(metadata)) {
    text(name);
    if (Array.isArray(value)) {
      uint32(9);
      const isText = typeof value[0] === 'string';
      uint32(isText ? 8 : 6);
      uint64(value.length);
      for (const each of value as readonly (string | number)[]) {
        if (isText) text(each as string);
        else float32(each as number);
      }
      continue;
    }
    const [kind, write] = plain(value as number);
    uint32(kind);
    write();
  }
  const padded = (length: number) => Math.ceil(length / alignment) * alignment;
  let offset = 0;
  for (const { name, shape, type = 0, bytes } of tensors) {
    text(name);
    uint32(shape.length);
    for (const size of [...shape].reverse()) uint64(size);
    uint32(type);
    uint64(offset);
    offset += padded(bytes.length);
  }
  const header = parts.reduce((total, { length }) => total + length, 0);
  const file = new Uint8Array(padded(header) + offset);
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  at = padded(header);
  for (const { bytes } of tensors) {
    file.set(bytes, at);
    at += padded(bytes.length);
  }
  return file;
}

const names: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

interface Config {
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly tie_word_embeddings: boolean;
}

/** The metadata and the tensors of a folder; rows of queries and keys of Llama are written in pairs. */
export async function ggufParts(folder: string, architecture: 'llama' | 'qwen2') {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Config;
  const { num_attention_heads: heads, num_key_value_heads: keyHeads } = config;
  const { tensors } = await readTensors(folder);
  const size = config.hidden_size / heads;
  const metadata: Record<string, Given> = {
    'general.architecture': architecture,
    [`${architecture}.block_count`]: config.num_hidden_layers,
    [`${architecture}.context_length`]: config.max_position_embeddings,
    [`${architecture}.embedding_length`]: config.hidden_size,
    [`${architecture}.feed_forward_length`]: config.intermediate_size,
    [`${architecture}.attention.head_count`]: heads,
    [`${architecture}.attention.head_count_kv`]: keyHeads,
    [`${architecture}.attention.layer_norm_rms_epsilon`]: config.rms_norm_eps,
    [`${architecture}.rope.freq_base`]: config.rope_theta,
    [`${architecture}.rope.dimension_count`]: size,
  };
  const own = [...tensors].flatMap(([name, { shape, data }]): GivenTensor[] => {
    if (name === 'lm_head.weight' && config.tie_word_embeddings) return [];
    const [, layer, part, kind] = /^(?:model\.layers\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name)!;
    const isTurned = architecture === 'llama' && /[qk]_proj/.test(part!);
    const values = isTurned ? inPairs(data as Float32Array, part!.includes('q_proj') ? heads : keyHeads, size) : data;
    const bytes = new Uint8Array((values as Float32Array).slice().buffer);
    return [{ name: `${layer ? `blk.${layer}.` : ''}${names[part!]}.${kind}`, shape, bytes }];
  });
  return { metadata, tensors: own };
}

/** Rows of heads with the two of a pair side by side. */
function inPairs(values: Float32Array, heads: number, size: number): Float32Array {
  const width = values.length / heads / size;
  return values.map((_, at) => {
    const row = Math.floor(at / width);
    const [head, within] = [Math.floor(row / size), row % size];
    const from = head * size + (within % 2) * (size / 2) + Math.floor(within / 2);
    return values[from * width + (at % width)]!;
  });
}
