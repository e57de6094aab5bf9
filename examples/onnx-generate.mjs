/** Writes text with ONNX Runtime alone: `performer export … --onnx book.onnx --form streaming` of a language model of bytes made the file. */
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [file, prompt, count] = process.argv.slice(2);
const session = await InferenceSession.create(file);
let state = {};
for (const { name, type, shape } of session.inputMetadata.filter((input) => input.name.startsWith('state.'))) {
  const dims = shape.map((size) => (typeof size === 'number' ? size : size === 'batch' ? 1 : 0)); // nothing was read yet
  const zeros = new (type === 'int32' ? Int32Array : Float32Array)(dims.reduce((product, size) => product * size, 1));
  state[name] = new Tensor(type, zeros, dims);
}
let tokens = Buffer.from(prompt);
for (let step = 0; step < Number(count); step++) {
  const given = new Tensor('int32', Int32Array.from(tokens), [1, tokens.length]);
  const results = await session.run({ tokens: given, ...state });
  tokens = [results.logits.data.indexOf(Math.max(...results.logits.data))]; // the likeliest byte
  process.stdout.write(Buffer.from(tokens));
  state = Object.fromEntries(Object.keys(state).map((name) => [name, results[`next.${name}`]]));
}
