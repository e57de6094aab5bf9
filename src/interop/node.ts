/** The part of the interop room that reads and writes files, for Node. */
export { type Chunks, writeFileAtomic } from './node-files.js';
export { readJson } from './node-json.js';
export {
  readSafetensors,
  readSafetensorsLayout,
  type SafetensorsFile,
  type SafetensorsLayout,
  writeSafetensors,
} from './node-safetensors.js';
