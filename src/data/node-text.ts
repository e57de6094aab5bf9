/** Files as text: decoded in pieces, strictly, so that bytes of another encoding are an error and never U+FFFD. */
import { createReadStream } from 'node:fs';
import { TextDecoder } from 'node:util';
import { PerformerError } from '../base/errors.js';
import type { Encoding } from './encoding.js';

const marks: readonly (readonly [Encoding, readonly number[]])[] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
];

/** The encoding that a byte order mark at the beginning names. */
function markedEncoding(start: Uint8Array): Encoding | undefined {
  return marks.find(([, mark]) => mark.every((byte, at) => start[at] === byte))?.[0];
}

/** Bytes that are looked at to tell UTF-16 without a byte order mark. */
const sampleBytes = 512;

/** UTF-16, where bytes look like it: the characters that tables are made of have a zero as their upper byte. */
function likelyUtf16(start: Uint8Array): Encoding | undefined {
  const zeros = [0, 0];
  start.subarray(0, sampleBytes).forEach((byte, at) => {
    if (byte === 0) zeros[at % 2] = (zeros[at % 2] as number) + 1;
  });
  const [even, odd] = zeros as [number, number];
  if (odd > 4 * even) return 'utf-16le';
  return even > 4 * odd ? 'utf-16be' : undefined;
}

/**
 * The text of a file up to its end, or up to the first bytes that are none of its encoding: then `onBroken` is called with
 * the encoding, and the text ends with U+FFFD in their place. A byte order mark overrules the encoding, and is no part of
 * the text. Throws DATA for a file that is UTF-16 and is read as something else.
 *
 * @param bytes what is decoded; those of the file unless given.
 */
export async function* decodedText(
  path: string,
  asked: Encoding,
  onBroken: (encoding: Encoding) => void,
  bytes: AsyncIterable<Uint8Array> = createReadStream(path),
): AsyncGenerator<string> {
  let decoders: { readonly whole: TextDecoder; readonly single: TextDecoder } | undefined;
  let encoding = asked;
  for await (const chunk of bytes) {
    if (decoders === undefined) {
      encoding = markedEncoding(chunk) ?? asked;
      expectNoUtf16(path, chunk, encoding);
      const decoder = () => new TextDecoder(encoding, { fatal: true });
      decoders = { whole: decoder(), single: decoder() };
    }
    let text: string;
    try {
      text = decoders.whole.decode(chunk, { stream: true });
      decoders.single.decode(chunk, { stream: true });
    } catch {
      // A decoder that has failed tells no place. Its twin, which stands where it stood, goes on byte by byte.
      onBroken(encoding);
      yield `${validStart(decoders.single, chunk)}\ufffd`;
      return;
    }
    yield text;
  }
  try {
    yield decoders?.whole.decode() ?? '';
  } catch {
    onBroken(encoding); // the file ends within a character
    yield '\ufffd';
  }
}

function validStart(decoder: TextDecoder, bytes: Uint8Array): string {
  let text = '';
  try {
    for (let at = 0; at < bytes.length; at++) text += decoder.decode(bytes.subarray(at, at + 1), { stream: true });
  } catch {
    // The text so far is what was asked for.
  }
  return text;
}

function expectNoUtf16(path: string, start: Uint8Array, encoding: Encoding): void {
  if (encoding.startsWith('utf-16')) return;
  const found = likelyUtf16(start);
  if (found === undefined) return;
  throw new PerformerError(
    'DATA',
    `read ${path}: expected text in ${encoding}, got zero bytes, as ${found} without a byte order mark has. ` +
      `Say --encoding ${found}.`,
  );
}
