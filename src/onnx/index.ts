/** Graphs written as ONNX models. */
export { encodeModel, type OnnxEncoding, type OnnxModel } from './model.js';
