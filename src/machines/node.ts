/** Machines on disk, for Node. */
export { checkMachineFolder, loadMachine, saveMachine } from './node-model.js';
