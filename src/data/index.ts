/** Corpora as byte sources, byte tokens, and batches of windows; nothing here reads files (see `data/node`). */
export {
  type EvaluationWindows,
  evaluationWindowCount,
  evaluationWindows,
  type LaneWindows,
  laneLength,
  laneWindows,
  randomWindows,
  splitCorpus,
  type WindowSize,
  type Windows,
} from './batches.js';
export { type ByteSource, bytesSource, joinSources, sliceSource } from './byte-source.js';
export { byteTokenizerJson, byteVocabularySize, encodeBytes, Utf8Stream } from './byte-tokenizer.js';
export { type Encoding, encodings } from './encoding.js';
export {
  type GivenText,
  joinTexts,
  type LabelledData,
  type LabelledText,
  type LabelledTexts,
  labelledTexts,
  pickTexts,
  splitTexts,
  type Target,
} from './labelled.js';
export {
  byLength,
  type LabelledRows,
  readTexts,
  type TextBatches,
  type TextRows,
  textBatches,
  textRows,
} from './labelled-batches.js';
export { delimiterHint, mostColumns, repeatedName, type Table, type TableRow } from './table.js';
