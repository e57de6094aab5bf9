/** Machines on disk, for Node. */
export { type LoadOptions, loadMachine, saveMachine } from './node-model.js';
export { prepareMachineFolder } from './node-place.js';
