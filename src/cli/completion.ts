/** `performer completion`: what a shell needs to complete the words of the other commands, made from their data. */
import * as z from 'zod';
import {
  type Command,
  type CommandEntry,
  type CommandGroup,
  type CommandRun,
  type CommandWords,
  commonSwitches,
} from './command.js';
import { type CompletedCommand, type CompletedFlag, scripts } from './completion-scripts.js';
import type { Flag } from './flags.js';

const notes = `Once, for the shell that you use:
  performer completion bash > ~/.local/share/bash-completion/completions/performer
  performer completion zsh > "\${fpath[1]}/_performer"
  performer completion fish > ~/.config/fish/completions/performer.fish`;

const noOptions = z.strictObject({});

export const completionCommand: CommandWords<typeof noOptions> = {
  arguments: [{ name: '<shell>', text: 'the shell', choices: Object.keys(scripts) }],
  options: noOptions,
  flags: [],
  notes,
};

/** What it does, for these commands. */
export function runCompletion(commands: readonly (CommandEntry | CommandGroup)[]): CommandRun<typeof noOptions> {
  return async ({ arguments: [shell] }, io) => {
    const all = await Promise.all(commands.map(completed));
    io.stdout.write(scripts[shell as keyof typeof scripts](all.flat()));
  };
}

async function completed(command: CommandEntry | CommandGroup): Promise<CompletedCommand[]> {
  if (!('commands' in command)) return [own(await command.load())];
  const { name, text } = command;
  const parts = (await Promise.all(command.commands.map((part) => part.load()))).map(own);
  const below = parts.map((part) => ({ ...part, words: [name, ...part.words] }));
  return [{ words: [name], text, flags: [], choices: parts }, ...below];
}

function own({ name, text, flags, arguments: taken }: Command): CompletedCommand {
  const switches = [...commonSwitches, { name: 'help', text: 'print this help' }];
  return {
    words: [name],
    text,
    flags: [...flags.flatMap(completedFlags), ...switches.map((each) => ({ ...each, takes: 'nothing' as const }))],
    choices: taken.flatMap(({ choices = [] }) => choices.map((choice) => ({ words: [choice], text: '' }))),
  };
}

function completedFlags({ flag: name, kind, text, choices, value }: Flag): CompletedFlag[] {
  if (kind === 'switch') return [{ name, text, takes: 'nothing' }];
  if (kind === 'boolean') return [name, `no-${name}`].map((each) => ({ name: each, text, takes: 'nothing' }));
  if (kind === 'choice') return [{ name, text, takes: choices }];
  return [{ name, text, takes: value === 'file' || value === 'folder' ? 'file' : 'word' }];
}
