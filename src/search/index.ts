/** Search by meaning: texts as chunks, and the nearest of their vectors; nothing here reads files (see `search/node`). */
export { type Chunk, type ChunkOptions, textChunks } from './chunks.js';
export { type NearestOptions, type Neighbour, nearest } from './nearest.js';
export { expectSameModel, type Hit, type IndexAbout, type IndexedText, indexAbout } from './text-index.js';
