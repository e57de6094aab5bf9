/** Model folders on disk, for Node. */
export {
  loadModel,
  loadModelFiles,
  type WrittenModel,
  writeContext,
  writeJson,
  writeModel,
  writeSettings,
} from './node-folder.js';
