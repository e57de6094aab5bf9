/** Checkpoints on disk, for Node. */
export { CheckpointFolder } from './node-checkpoint.js';
export { type FolderLock, lockFolder } from './node-lock.js';
export { type LoadedModel, loadModel } from './node-model.js';
export { loadLatestSnapshot } from './node-snapshot.js';
