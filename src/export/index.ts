/** Models as files that others read. */
export { type OnnxForm, onnxForms, whyNotStreaming } from './forms.js';
export { exportOnnx, type OnnxExportOptions } from './onnx.js';
