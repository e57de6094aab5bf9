/** Measuring: timing in turns, profiles, and what a model computes and reads by formula. */
export { forwardOperations, type MeasuredModel, stateBytes, tokenBytes, trainingOperations } from './arithmetic.js';
export type { Profile, ProfileEntry, ProfilePlace } from './profile.js';
export { type ProfileJson, type ProfileRow, profileJson, profileText } from './profile-text.js';
export { readable } from './readable.js';
export { inTurns, median, summarize, type Timing, type Turns } from './timing.js';
