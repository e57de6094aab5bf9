/** The part of the data room that reads files, for Node. */
export { type CsvOptions, openCsv } from './node-csv.js';
export { type OpenSource, openFiles } from './node-files.js';
export { imagesOf, type PlacedImage, placeInWords, readImages } from './node-images.js';
export {
  type LabelledColumns,
  type LabelledFileOptions,
  openLabelledFolder,
  readLabelledFile,
} from './node-labelled.js';
export { linesIn, type TextLine } from './node-lines.js';
export { type PairColumns, readPairs } from './node-pairs.js';
export {
  type FileRecord,
  type RecordOptions,
  recordFormatOf,
  recordsIn,
  recordsOf,
  textOfRecord,
} from './node-records.js';
export { readTokenizer, readTokenizerFolder } from './node-tokenizer.js';
export { type ColumnOptions, readTaggedFile, type WordRecord, wordRecordsOf } from './node-words.js';
