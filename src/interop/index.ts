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
export { decodeSafetensors, encodeSafetensors, type Safetensors } from './safetensors.js';
export {
  parseSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  type StoredDtype,
  safetensorsHeaderLength,
} from './safetensors-header.js';
