/** Generation: sessions that read and remember, sampling, and text as a stream. */
export { type GeneratedPiece, type GenerateOptions, generate } from './generate.js';
export { type PaintOptions, paint, paintedSize } from './images.js';
export type { HostLeaf } from './memory.js';
export type { WeightsAs } from './reader.js';
export { chooseToken, type SamplingOptions, samplingSchema } from './sampling.js';
export type { SavedState } from './saved-state.js';
export { GenerationSession } from './session.js';
export type { GenerationSessionOptions } from './session-options.js';
export type { TokenRows } from './token-rows.js';
