/** Profiles from disk, for Node. */
export { readProfiles } from './node-profile.js';
