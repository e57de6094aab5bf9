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
