/** Every op and composite of the graph. */
export * from './bits.js';
export * from './compare.js';
export * from './conditional.js';
export { constant, input, range, scalar, size, type Whole } from './constant.js';
export * from './custom.js';
export * from './elementwise.js';
export * from './expand-and-sum.js';
export * from './gelu.js';
export { inBlocks } from './in-blocks.js';
export * from './layout.js';
export * from './matmul.js';
export * from './normalization.js';
export * from './reduce.js';
export type { Axes } from './reduction.js';
export * from './rotary.js';
export * from './rows.js';
export * from './scan.js';
export { cast, stopGradient, where } from './select.js';
