/** Model folders on disk, for Node. */
export { loadModel, loadModelFiles, type WrittenModel, writeContext, writeJson, writeModel } from './node-folder.js';
