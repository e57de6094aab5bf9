/** What the command line has of the world: streams, the name it was called by, and being told to stop. */
import { Writable } from 'node:stream';

export type Output = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

export interface Io {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  /** Whether standard input is a pipe or a file, which end. */
  readonly isPiped: boolean;
  readonly stdout: Output;
  readonly stderr: Output;
  /** How this program is called, for commands that are printed to be typed. */
  readonly command: string;
  /** Waits until all that was written is taken. Throws DATA where it could not be, but for a reader that has gone. */
  flush(): Promise<void>;
  /** Calls the listener once when the user asks to stop; a second time ends the process. Returns how to stop listening. */
  onStop(listener: () => void): () => void;
  /** The number of the signal that a listener of `onStop` was called for; undefined where none was. */
  stoppedBy(): number | undefined;
}

/** The same world where what is told of the work goes nowhere: standard error, and standard output if it is a report. */
export function quietIo(io: Io, isReport: boolean): Io {
  const nowhere: Output = new Writable({ write: (_chunk, _encoding, done) => done() });
  return { ...io, stderr: nowhere, stdout: isReport ? nowhere : io.stdout };
}

/** Writes, and waits until it is taken: where the reader is slower, memory stays flat. */
export function writeAll(output: Output, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => output.write(text, () => resolve()));
}

/** A word as a shell reads it. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
