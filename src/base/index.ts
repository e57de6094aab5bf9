/** Shapes and dimensions, host arrays, trees, seeded randomness and errors: what every other room stands on. */
export * from './array.js';
export * from './dimension.js';
export * from './errors.js';
export * from './layout.js';
export {
  type ChoiceSchema,
  type ChoicesSchema,
  choice,
  choices,
  flagName,
  type OptionField,
  type OptionHelp,
  type OptionKind,
  type OptionVariants,
  option,
  optionFields,
  optionNames,
  parseOptions,
} from './options.js';
export * from './random.js';
export * from './shape.js';
export * from './tree.js';
