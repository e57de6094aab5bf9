/** `performer completion`: what a shell needs to complete the words of the other commands, made from their data. */
import * as z from 'zod';
import { type Command, type CommandGroup, command, commonSwitches } from './command.js';
import { type CompletedCommand, type CompletedFlag, scripts } from './completion-scripts.js';
import type { Flag } from './flags.js';

const notes = `Once, for the shell that you use:
  performer completion bash > ~/.local/share/bash-completion/completions/performer
  performer completion zsh > "\${fpath[1]}/_performer"
  performer completion fish > ~/.config/fish/completions/performer.fish`;

/** The command, for these and itself. */
export function completionCommand(commands: () => readonly (Command | CommandGroup)[]): Command {
  const words = {
    name: 'completion',
    text: 'print what a shell needs to complete commands and flags',
    arguments: [{ name: '<shell>', text: 'the shell', choices: Object.keys(scripts) }],
    options: z.strictObject({}),
    flags: [],
    notes,
  };
  return command(words, async ({ arguments: [shell] }, io) => {
    io.stdout.write(scripts[shell as keyof typeof scripts](commands().flatMap(completed)));
  });
}

function completed(command: Command | CommandGroup): CompletedCommand[] {
  if (!('commands' in command)) return [own(command)];
  const parts = command.commands.map((part) => ({ ...own(part), words: [command.name, part.name] }));
  return [{ words: [command.name], text: command.text, flags: [], choices: command.commands.map(own) }, ...parts];
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
