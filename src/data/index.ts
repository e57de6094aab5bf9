/** Corpora as sources of bytes, tokenizers, sources of tokens, and batches; nothing here reads files (see `data/node`). */
export {
  type EvaluationWindows,
  evaluationWindowCount,
  evaluationWindows,
  type LaneWindows,
  laneLength,
  laneWindows,
  randomWindows,
  type SplitTokens,
  splitCorpus,
  type WindowSize,
  type Windows,
} from './batches.js';
export { type ByteSource, bytesSource, joinSources, sliceSource } from './byte-source.js';
export { byteTokenizer, byteTokens } from './byte-tokenizer.js';
export { type Encoding, encodings } from './encoding.js';
export { decodeIdx, type IdxArray, idxImages } from './idx.js';
export {
  expectSize,
  type Image,
  type ImageSet,
  type ImageSize,
  imageSet,
  type LabelledImage,
  sheetOf,
  sizeInWords,
  valueCount,
} from './image.js';
export { decodeImage, encodePng } from './image-codecs.js';
export {
  areNumbers,
  encodeTexts,
  type Framing,
  type GivenText,
  joinTexts,
  type Labelled,
  type LabelledData,
  type LabelledText,
  type LabelledTexts,
  type LabelledTokens,
  labelledTexts,
  pickTexts,
  splitTexts,
  type Target,
  type TargetList,
  type TokenText,
} from './labelled.js';
export {
  batchesByLength,
  type LabelledRows,
  readTexts,
  type TextBatches,
  type TextRows,
  textBatches,
  textRows,
} from './labelled-batches.js';
export { noTokenizer } from './no-tokenizer.js';
export { encodePairs, type PairData, type PairOptions, splitItems, type TextPair, type TokenPair } from './pairs.js';
export { delimiterHint, mostColumns, repeatedName, type Table, type TableRow } from './table.js';
export { framedTokens, type TextFrame } from './text-frame.js';
export { bytesPerToken, type TokenSource, tokensSource } from './token-source.js';
export { type SourceOptions, type SpecialTokens, type TokenDecoder, type Tokenizer, tokenSource } from './tokenizer.js';
export {
  huggingFaceTokenizer,
  isFromFile,
  openTokenizer,
  type TokenizerFiles,
  tokenizerConfigFile,
  tokenizerFile,
  tokenizerNameOf,
} from './tokenizer-files.js';
export { knownTokenizer, registerTokenizer, tokenizerNamed, tokenizerProblem } from './tokenizer-registry.js';
export { Utf8Stream } from './utf8-stream.js';
export {
  areBio,
  encodeWords,
  joinWords,
  type Span,
  spansOf,
  type TaggedData,
  type TaggedText,
  type TaggedTokens,
  tagSpans,
  tagWords,
  type Word,
  type WordText,
  type WordTokens,
  wordsOf,
  wordTargets,
} from './words.js';
