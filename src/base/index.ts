/** Shapes and dimensions, host arrays, trees, seeded randomness and errors: what every other room stands on. */
export * from './array.js';
export * from './dimension.js';
export * from './errors.js';
export * from './layout.js';
export * from './options.js';
export * from './random.js';
export * from './shape.js';
export * from './tree.js';
