/** Indexes of texts on disk, for Node. */
export {
  expectNew,
  openTextIndex,
  placeOf,
  type TextIndex,
  type TextVector,
  writeTextIndex,
} from './node-text-index.js';
