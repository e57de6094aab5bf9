/** Commands are data: what they are called, what they take, and a function that runs them. `commands.ts` has them all. */
import type * as z from 'zod';
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

/** What was typed. */
export interface Given<O = object> {
  /** In order, a list where variadic. */
  readonly arguments: readonly (string | readonly string[])[];
  /** The command's own options, with their defaults. */
  readonly options: O;
  /** The values of all flags that were given, by key: those of the options too. */
  readonly flags: FlagValues;
}

/** What a command is called with. */
export interface CommandWords<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly text: string;
  readonly arguments: readonly CommandArgument[];
  /** Its own options. */
  readonly options: S;
  /** The flags of these, and of what it hands on. */
  readonly flags: readonly Flag[];
  /** What --help says after the options. */
  readonly notes: string;
  /** Whether standard output only tells what was done, which --quiet leaves out. */
  isReport?(options: z.output<S>): boolean;
}

export interface Command extends CommandWords {
  run(given: Given, io: Io): Promise<void>;
}

/** A command with what it does, which is loaded when it runs. */
export function command<S extends z.ZodObject>(
  words: CommandWords<S>,
  run: (given: Given<z.output<S>>, io: Io) => Promise<void>,
): Command {
  return { ...words, run } as unknown as Command;
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
