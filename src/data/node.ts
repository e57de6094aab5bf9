/** The part of the data room that reads files, for Node. */
export { openFiles } from './node-files.js';
