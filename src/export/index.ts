/** Models as files that others read. */
export { type OnnxForm, onnxForms, whyNotStreaming } from './forms.js';
export {
  type HuggingFaceModel,
  type HuggingFaceOptions,
  type HuggingFaceSource,
  toHuggingFace,
} from './hugging-face.js';
export { keptAs } from './kept.js';
export { exportOnnx, heldBytes, type OnnxDtype, type OnnxExportOptions, onnxDtypes } from './onnx.js';
