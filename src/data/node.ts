/** The part of the data room that reads files, for Node. */
export { type CsvOptions, openCsv } from './node-csv.js';
export { openFiles } from './node-files.js';
export {
  type LabelledColumns,
  type LabelledTableOptions,
  linesOf,
  openLabelledFolder,
  readLabelledLines,
  readLabelledTable,
} from './node-labelled.js';
