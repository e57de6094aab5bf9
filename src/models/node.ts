/** Model folders on disk, for Node. */
export { loadModel, loadModelFiles, writeJson, writeModel } from './node-folder.js';
