/** JSON files in Node, read as if their writer meant harm. */
import { PerformerError } from '../base/errors.js';
import { jsonBounds } from '../base/json-bounds.js';
import { openRegularFile, readError, readFully } from '../data/node-read.js';

/** The largest JSON file in bytes that is read: settings take some kilobytes, the names of 200,000 columns a few megabytes. */
const largestJson = 2 ** 24;
/** How deep its lists and objects may lie in one another. */
const deepestJson = 64;

/**
 * The value of a JSON file in UTF-8, with a byte order mark or without, unchecked. Throws CHECKPOINT when it is missing,
 * unreadable, no regular file, malformed, larger than 16 MB or nested more than 64 deep.
 */
export async function readJson(path: string): Promise<unknown> {
  const where = `read ${path}`;
  const bytes = await readBounded(where, path);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (jsonBounds(text).depth > deepestJson) throw new Error(`nested more than ${deepestJson} deep`);
    return JSON.parse(text);
  } catch (cause) {
    throw new PerformerError('CHECKPOINT', `${where}: expected JSON, got other text. Get the file again.`, { cause });
  }
}

async function readBounded(where: string, path: string): Promise<Uint8Array> {
  const { file, size } = await openRegularFile('CHECKPOINT', where, path);
  try {
    if (size > largestJson) {
      throw new PerformerError(
        'CHECKPOINT',
        `${where}: expected at most ${largestJson} bytes of JSON, got ${size}. Check the path.`,
      );
    }
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, await readFully(file, bytes, 0));
  } catch (cause) {
    throw readError('CHECKPOINT', where, cause);
  } finally {
    await file.close();
  }
}
