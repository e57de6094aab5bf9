/**
 * The one filter between data and a terminal. Names of classes, columns, files and tensors, unknown keys and generated text
 * come from elsewhere, and a terminal obeys control characters wherever they stand: they are shown as U+FFFD.
 */
import type { Io, Output } from './io.js';

/** Text without what a terminal obeys: control characters other than tabs and ends of lines, and changes of direction. */
export function withoutControls(text: string): string {
  return text.replaceAll(/[^\P{Cc}\t\r\n]|\r(?!\n)|[\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}

const bare = new WeakMap<Output, Output>();

/** The output that takes control codes, for a progress bar; data that it shows must come through `withoutControls`. */
export function bareOutput(output: Output): Output {
  return bare.get(output) ?? output;
}

/** The output, of which all that is written passes the filter. Bytes are taken for UTF-8. */
function filtered(output: Output): Output {
  const decoder = new TextDecoder();
  let held = ''; // a carriage return, which may be half of an end of line
  const write = (piece: string | Uint8Array, ...rest: unknown[]) => {
    const text = held + (typeof piece === 'string' ? piece : decoder.decode(piece, { stream: true }));
    held = text.endsWith('\r') ? '\r' : '';
    const shown = withoutControls(held === '' ? text : text.slice(0, -1));
    return (output.write as (...all: unknown[]) => boolean)(shown, ...rest);
  };
  const proxy: Output = new Proxy(output, {
    get(target, key) {
      if (key === 'write') return write;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  bare.set(proxy, output);
  return proxy;
}

/** The world with the filter before standard error, which people read, and before standard output where it is a terminal. */
export function filteredIo(io: Io): Io {
  return { ...io, stderr: filtered(io.stderr), stdout: io.stdout.isTTY ? filtered(io.stdout) : io.stdout };
}
