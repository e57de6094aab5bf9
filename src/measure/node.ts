/** What only Node measures: memory, and profiles from disk. */
export { peakBytes } from './node-memory.js';
export { readProfiles } from './node-profile.js';
