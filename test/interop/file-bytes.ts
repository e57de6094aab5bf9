/** Safetensors files as bytes, sound and otherwise. */

/** Chunks one after another. */
export function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
}

/** A file with this header, as text or as a value, and a buffer of so many bytes. */
export function fileOf(header: unknown, bufferLength = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + bufferLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
