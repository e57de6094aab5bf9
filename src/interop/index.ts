/** Exchange with other systems; nothing here reads files (see `interop/node`). */
export {
  checkDigest,
  type Digests,
  digestOf,
  expectFinite,
  seal,
  tensorsDigest,
  type Unsealed,
  unseal,
} from './digest.js';
export { type GgufBlock, ggufValues } from './gguf-blocks.js';
export { type GgufEntry, type GgufHeader, type GgufValue, largestGgufHeader, parseGgufHeader } from './gguf-header.js';
export {
  asKept,
  decodeSafetensors,
  encodeSafetensors,
  type Safetensors,
  type WeightDtype,
  weightDtypes,
} from './safetensors.js';
export {
  parseSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  type StoredDtype,
  safetensorsHeaderLength,
} from './safetensors-header.js';
