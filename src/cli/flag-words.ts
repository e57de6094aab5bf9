/** Flags as words of a command line: how commander reads them, and the values of those that were typed. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseNumber } from '../base/number.js';
import { usageError } from './command.js';
import type { Flag, FlagValues } from './flags.js';

/** A flag that is true or false is two options, of which the help shows the first as both: `--[no-]token-shift`. */
class PairOption extends Option {}

/** An option as the help shows it. */
export function optionTerm(option: Option): string {
  return option instanceof PairOption ? option.flags.replace('--', '--[no-]') : option.flags;
}

/** A flag as options of commander. */
export function commanderOptions(flag: Flag): Option[] {
  const { flag: name, kind, value, text, fallback, choices } = flag;
  const several = flag.isList === true ? ` (choices, also several with commas: ${choices.join(', ')})` : '';
  const told = `${text}${several}${fallback === undefined ? '' : ` (default: ${fallback})`}`;
  if (kind === 'boolean') {
    return [
      new PairOption(`--${name}`, told).helpGroup(flag.group),
      new Option(`--no-${name}`).helpGroup(flag.group).hideHelp(),
    ];
  }
  if (kind === 'switch') return [new Option(`--${name}`, told).helpGroup(flag.group)];
  const option = new Option(`--${name} <${value}>`, told).helpGroup(flag.group);
  if (kind === 'choice' && flag.isList !== true) return [option.choices(choices)];
  const parse = (word: string, previous?: unknown) => {
    const parsed = kind === 'number' ? parseNumber(word) : word;
    if (parsed === undefined) throw new InvalidArgumentError('It is no number.');
    const all = kind === 'list' ? [...((previous as string[] | undefined) ?? []), parsed] : parsed;
    const problem = flag.problemOf(all);
    if (problem !== undefined) throw new InvalidArgumentError(`${problem}.`);
    return all;
  };
  return [option.argParser(parse)];
}

/** What commander keeps by the names of flags, by the keys of their options. */
export function valuesByKey(flags: readonly Flag[], typed: Readonly<Record<string, unknown>>): FlagValues {
  const given = flags.map(({ key, flag }) => [key, typed[new Option(`--${flag}`).attributeName()]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** The values of words that are flags and nothing else. Throws USAGE, with `where` at its head, for others. */
export function parseFlags(where: string, flags: readonly Flag[], words: readonly string[]): FlagValues {
  const reader = new Command().helpOption(false).exitOverride().allowExcessArguments(false);
  reader.configureOutput({ outputError: () => undefined });
  for (const flag of flags) for (const option of commanderOptions(flag)) reader.addOption(option);
  try {
    reader.parse(words, { from: 'user' });
  } catch (cause) {
    const reason = (cause as Error).message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
    throw usageError(`${where}: ${reason}${/[.)]$/.test(reason) ? '' : '.'} See performer train --help.`, { cause });
  }
  return valuesByKey(flags, reader.opts());
}
