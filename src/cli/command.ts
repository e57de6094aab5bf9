/** Commands are data: what they are called, what they take, and a function that runs them. */
import { PerformerError } from '../base/errors.js';
import type { Flag, FlagValues } from './flags.js';
import type { Io } from './io.js';

export interface CommandArgument {
  /** As commander writes it: `<folder>`, `<files...>` or `[files...]`. */
  readonly name: string;
  readonly text: string;
  /** For what is neither a file nor a folder: the words that it may be. */
  readonly choices?: readonly string[] | undefined;
}

/** What was typed: the arguments in order (a list where variadic), and the flags that were given, by key. */
export interface Given {
  readonly arguments: readonly (string | readonly string[])[];
  readonly flags: FlagValues;
}

export interface Command {
  readonly name: string;
  readonly text: string;
  readonly arguments: readonly CommandArgument[];
  readonly flags: readonly Flag[];
  /** What --help says after the options. */
  readonly notes: string;
  /** Whether standard output only tells what was done, which --quiet leaves out. */
  isReport?(flags: FlagValues): boolean;
  run(given: Given, io: Io): Promise<void>;
}

/** Commands under a word of their own: `performer kernel fit`. */
export interface CommandGroup {
  readonly name: string;
  readonly text: string;
  readonly commands: readonly Command[];
}

/** What every command takes beside its own flags and --help. */
export const commonSwitches = [
  { name: 'quiet', text: 'print nothing but the result and errors' },
  { name: 'debug', text: 'print the stack of an error' },
] as const;

/** An error of the person at the keyboard: exit code 2. */
export function usageError(message: string, options?: ErrorOptions): PerformerError {
  return new PerformerError('USAGE', message, options);
}
