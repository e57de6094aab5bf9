/** The part of the interop room that reads and writes files, for Node. */
export { readJson, readSafetensors, type SafetensorsFile, writeFileAtomic, writeSafetensors } from './node-files.js';
