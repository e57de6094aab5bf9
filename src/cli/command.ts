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

/** What a command does. */
export type CommandRun<S extends z.ZodObject> = (given: Given<z.output<S>>, io: Io) => Promise<void>;

export interface Command extends CommandWords {
  readonly name: string;
  readonly text: string;
  run(given: Given, io: Io): Promise<void>;
}

/** A command by its name: what it is called with is loaded when that is typed, since it takes a moment. */
export interface CommandEntry {
  readonly name: string;
  readonly text: string;
  load(): Promise<Command>;
}

/** A command, whose words are loaded when it is named, and what it does when it runs. */
export function commandEntry<S extends z.ZodObject>(
  name: string,
  text: string,
  words: () => Promise<CommandWords<S>>,
  run: () => Promise<CommandRun<S>>,
): CommandEntry {
  const load = async () => {
    const does: CommandRun<S> = async (given, io) => (await run())(given, io);
    return { name, text, ...(await words()), run: does } as unknown as Command;
  };
  return { name, text, load };
}

/** Commands under a word of their own: `performer kernel fit`. */
export interface CommandGroup {
  readonly name: string;
  readonly text: string;
  readonly commands: readonly CommandEntry[];
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
