/** What minilm.mjs and minilm-onnx.mjs share: the folder of all-MiniLM-L6-v2, its vectors of texts, and documents that came with vectors. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSafetensors } from 'performer-ts/interop';

const config = {
  ...{ architectures: ['BertModel'], model_type: 'bert', hidden_act: 'gelu', layer_norm_eps: 1e-12 },
  ...{ vocab_size: 30522, hidden_size: 384, num_hidden_layers: 6, num_attention_heads: 12, intermediate_size: 1536 },
  ...{ max_position_embeddings: 512, type_vocab_size: 2, pad_token_id: 0 },
};
const modules = ['Transformer', 'Pooling', 'Normalize'].map((type, idx) => ({
  ...{ idx, name: `${idx}`, path: ['', '1_Pooling', '2_Normalize'][idx] },
  type: `sentence_transformers.models.${type}`,
}));

/** Writes the model as a folder of Hugging Face: tensors by the names of BERT, and a tokenizer.json that neither cuts nor pads. */
export function writeSentenceModel(out, tensors, tokenizerFile) {
  mkdirSync(join(out, '1_Pooling'), { recursive: true });
  const json = (name, value) => writeFileSync(join(out, name), `${JSON.stringify(value, undefined, 1)}\n`);
  json('modules.json', modules);
  json('1_Pooling/config.json', { word_embedding_dimension: 384, pooling_mode_mean_tokens: true });
  json('sentence_bert_config.json', { max_seq_length: 512, do_lower_case: false });
  const tokenizer = JSON.parse(readFileSync(tokenizerFile, 'utf8'));
  json('tokenizer.json', { ...tokenizer, truncation: null, padding: null });
  writeFileSync(join(out, 'model.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
  json('config.json', config);
  console.log(`${out}: ${tensors.size} tensors`);
}

/** Vectors of length 1 of texts, of which so many are told as they are made. */
export async function vectorsOf(model, texts, window = 512) {
  const found = [];
  for (let at = 0; at < texts.length; at += 32) {
    found.push(...(await model.embed(texts.slice(at, at + 32), { normalize: true, window, batch: 4 })));
    process.stderr.write(`\r${found.length} of ${texts.length} texts`);
  }
  process.stderr.write('\n');
  return found;
}

export const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);

/** The texts of documents, and the vectors that their package has of them. */
export function documentsOf(folder, count) {
  const data = join(folder, 'data', 'embeddings');
  const lines = readFileSync(join(data, 'records.jsonl'), 'utf8').trimEnd().split('\n').slice(0, count);
  const bytes = readFileSync(join(data, 'embeddings.bin'));
  const kept = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4 * 384 * lines.length));
  return {
    texts: lines.map((line) => JSON.parse(line).content),
    vectors: lines.map((_, at) => kept.subarray(384 * at, 384 * (at + 1))),
  };
}

export function tellCosines(own, others) {
  const cosines = own.map((vector, at) => dot(vector, others[at]) / Math.sqrt(dot(others[at], others[at])));
  const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
  console.log(`${cosines.length} documents: mean cosine ${mean.toFixed(4)}, least ${Math.min(...cosines).toFixed(4)}`);
}
