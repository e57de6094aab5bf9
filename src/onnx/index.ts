/** Graphs written as ONNX models. */
export { encodeModel, type OnnxModel } from './model.js';
