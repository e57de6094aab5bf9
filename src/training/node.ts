/** Checkpoints on disk, for Node. */
export { CheckpointFolder, type LoadedModel, loadLatestSnapshot, loadModel } from './node-checkpoint.js';
export { lockFolder } from './node-lock.js';
