/** Model folders on disk, for Node. */
export {
  loadModel,
  loadModelFiles,
  readTensors,
  type WrittenModel,
  writeContext,
  writeJson,
  writeModel,
  writeSettings,
} from './node-folder.js';
