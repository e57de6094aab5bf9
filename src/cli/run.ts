/**
 * The command line: from words to a command, and from an error to one line and an exit code.
 *
 *   0 done   1 it failed   2 it was called wrongly   128 + the number of a signal that stopped it: 130 for Ctrl-C
 */
import { Argument, Command as CommanderCommand, CommanderError } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { messageOf, PerformerError } from '../base/errors.js';
import { flagName } from '../base/options.js';
import { type Command, type CommandGroup, commonSwitches, usageError } from './command.js';
import { commands } from './commands.js';
import { expandFiles } from './file-patterns.js';
import { commanderOptions, optionTerm, valuesByKey } from './flag-words.js';
import type { FlagValues } from './flags.js';
import { type Io, quietIo } from './io.js';
import { filteredIo } from './terminal.js';

/** Runs the words of a command line and returns the exit code. It never throws and never exits. */
export async function run(words: readonly string[], world: Io): Promise<number> {
  const io = filteredIo(world);
  const program = await buildProgram(words, io);
  try {
    await program.parseAsync([...words], { from: 'user' }).catch(expectHelp);
    await io.flush();
    const signal = io.stoppedBy();
    return signal === undefined ? 0 : 128 + signal;
  } catch (cause) {
    if (cause instanceof CommanderError) return 2;
    io.stderr.write(`performer: ${describe(cause)}\n`);
    if (program.opts().debug && cause instanceof Error) io.stderr.write(`${stackOf(cause)}\n`);
    return cause instanceof PerformerError && cause.code === 'USAGE' ? 2 : 1;
  }
}

/** Throws on all but what --help and --version end with. */
function expectHelp(cause: unknown): void {
  if (!(cause instanceof CommanderError && cause.exitCode === 0)) throw cause;
}

/** One line about anything that was thrown. */
function describe(cause: unknown): string {
  const message = messageOf(cause).replaceAll(/\s*\n\s*/g, ' ');
  if (cause instanceof PerformerError) return message;
  return `unexpected ${message === '' ? 'error' : message}. Run it again with --debug for the stack.`;
}

function stackOf(error: Error): string {
  const { cause } = error;
  return `${error.stack}${cause instanceof Error ? `\ncaused by ${stackOf(cause)}` : ''}`;
}

/**
 * The program with the command that is named first; with all where none is, as for the help, which tells what each takes, and with
 * none for the version.
 */
async function buildProgram(words: readonly string[], io: Io): Promise<CommanderCommand> {
  const program = new CommanderCommand('performer')
    .description(packageJson.description)
    .version(packageJson.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .option('--debug', 'print the stack of an error')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      outputError: (text, write) =>
        write(
          `${text
            .replace(/^error: /, 'performer: ')
            .trim()
            .replaceAll('\n', ' ')}\n`,
        ),
    })
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted. Each command has its own --help.',
    );
  const debug = () => program.setOptionValue('debug', true);
  const named = commands.filter(({ name }) => name === words[0]);
  const isVersion = words[0] === '-V' || words[0] === '--version';
  for (const command of named.length > 0 || isVersion ? named : commands) {
    if ('commands' in command) await addGroup(program, command, io, debug);
    else addCommand(program, await command.load(), io, debug);
  }
  return program;
}

async function addGroup(program: CommanderCommand, group: CommandGroup, io: Io, debug: () => void): Promise<void> {
  const added = program.command(group.name).description(group.text).helpOption('-h, --help', 'print this help');
  for (const entry of group.commands) addCommand(added, await entry.load(), io, debug);
}

/** The command's own options. Throws USAGE for those that must be given and were not; each value was checked as it was read. */
function ownOptions({ name, options }: Command, flags: FlagValues) {
  const own = Object.keys(options.shape).flatMap((key) => (key in flags ? [[key, flags[key]]] : []));
  const parsed = options.safeParse(Object.fromEntries(own));
  if (parsed.success) return parsed.data;
  const missing = parsed.error.issues.map(({ path }) => `--${flagName(String(path[0]))}`);
  throw usageError(`${name}: expected ${missing.join(' and ')}, got none. See performer ${name} --help.`);
}

function addCommand(parent: CommanderCommand, command: Command, io: Io, onDebug: () => void): void {
  const added = parent
    .command(command.name)
    .description(command.text)
    .helpOption('-h, --help', 'print this help')
    .configureHelp({ optionTerm })
    .addHelpText('after', `\n${command.notes}`);
  for (const { name, text, choices } of command.arguments) {
    const argument = new Argument(name, text);
    added.addArgument(choices === undefined ? argument : argument.choices(choices));
  }
  for (const flag of command.flags) for (const option of commanderOptions(flag)) added.addOption(option);
  for (const { name, text } of commonSwitches) added.option(`--${name}`, text);
  added.action(async (...all: unknown[]) => {
    const { debug, quiet, ...typed } = added.opts();
    if (debug) onDebug();
    const flags = valuesByKey(command.flags, typed);
    const options = ownOptions(command, flags);
    const given = all.slice(0, command.arguments.length) as (string | string[])[];
    const world = quiet ? quietIo(io, command.isReport?.(options) ?? false) : io;
    await command.run({ arguments: await Promise.all(given.map(expandFiles)), options, flags }, world);
  });
}
