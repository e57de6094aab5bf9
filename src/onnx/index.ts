/** Graphs written as ONNX models. */
export { encodeModel, type OnnxEncoding, type OnnxModel } from './model.js';
export { type ProductDtype, productDtypes } from './quantize.js';
