/** The scripts by which bash, zsh and fish complete the words of a command line. */

export interface CompletedFlag {
  readonly name: string;
  readonly text: string;
  /** The kind of its value, or the words that it may be. */
  readonly takes: 'nothing' | 'word' | 'file' | readonly string[];
}

export interface CompletedCommand {
  /** `train`, or `kernel fit` as two. */
  readonly words: readonly string[];
  readonly text: string;
  readonly flags: readonly CompletedFlag[];
  /** What may come in the place of files: the commands of a group, or words. */
  readonly choices: readonly { readonly words: readonly string[]; readonly text: string }[];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const nameOf = ({ words }: Pick<CompletedCommand, 'words'>) => words.join(' ');
const namesOf = (commands: readonly Pick<CompletedCommand, 'words'>[]) => commands.map(nameOf).join(' ');
const isTop = ({ words }: CompletedCommand) => words.length === 1;
const groupsOf = (commands: readonly CompletedCommand[]) => [
  ...new Set(commands.filter((command) => !isTop(command)).map(({ words }) => words[0] as string)),
];

function bash(commands: readonly CompletedCommand[]): string {
  const cases = commands.flatMap((command) => {
    const after = (takes: CompletedFlag['takes']) =>
      command.flags
        .filter((flag) => flag.takes === takes)
        .map(({ name }) => quoted(`${nameOf(command)} --${name}`))
        .join(' | ');
    const listed = command.flags.flatMap(({ name, takes }) =>
      Array.isArray(takes)
        ? [`    ${quoted(`${nameOf(command)} --${name}`)}) words=${quoted(takes.join(' '))} ;;`]
        : [],
    );
    const [files, words] = [after('file'), after('word')];
    return [
      ...listed,
      ...(files === '' ? [] : [`    ${files}) return ;;`]),
      ...(words === '' ? [] : [`    ${words}) compopt +o default; return ;;`]),
    ];
  });
  const flags = commands.map((command) => {
    const names = command.flags.map(({ name }) => `--${name}`).join(' ');
    return `        ${quoted(nameOf(command))}) flags=${quoted(names)}; words=${quoted(namesOf(command.choices))} ;;`;
  });
  return `# performer: completion for bash
_performer() {
  local current="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" words flags
  ((COMP_CWORD == 1)) && command=
  case "$command" in
    ${groupsOf(commands).join(' | ')}) ((COMP_CWORD > 2)) && command="$command \${COMP_WORDS[2]}" ;;
  esac
  case "$command \${COMP_WORDS[COMP_CWORD - 1]}" in
${cases.join('\n')}
    *)
      case "$command" in
        '') words=${quoted(namesOf(commands.filter(isTop)))} ;;
${flags.join('\n')}
      esac
      [[ $current == -* ]] && words=$flags
      ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _performer performer
`;
}

/** A text within `[…]` of a specification of zsh's _arguments. */
function bracketed(text: string): string {
  return text.replaceAll(/[[\]\\:]/g, '\\$&');
}

function zsh(commands: readonly CompletedCommand[]): string {
  const described = (choices: CompletedCommand['choices']) =>
    choices.map((each) => quoted(`${each.words.at(-1)}:${each.text.replaceAll(':', '\\:')}`)).join(' ');
  const cases = commands.map((command) => {
    const { flags, choices } = command;
    const flagSpecs = flags.map(({ name, text, takes }) => {
      const values = { nothing: '', word: ':value: ', file: ':file:_files' };
      const value = typeof takes === 'string' ? values[takes] : `:value:(${takes.join(' ')})`;
      return quoted(`*--${name}[${bracketed(text)}]${value}`);
    });
    const rest = choices.length === 0 ? "'*:file:_files'" : `'1:word:(${namesOf(choices)})'`;
    return `    ${quoted(nameOf(command))}) _arguments ${[...flagSpecs, rest].join(' ')} ;;`;
  });
  return `#compdef performer
# performer: completion for zsh
_performer() {
  local command=$words[2]
  local -a commands
  if ((CURRENT == 2)); then
    commands=(${described(commands.filter(isTop))})
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  case $command in
    ${groupsOf(commands).join(' | ')})
      if ((CURRENT > 2)); then
        command="$command $words[2]"
        shift words
        ((CURRENT--))
      fi
      ;;
  esac
  case $command in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _performer ]]; then _performer "$@"; else compdef _performer performer; fi
`;
}

function fish(commands: readonly CompletedCommand[]): string {
  const seen = '__fish_seen_subcommand_from';
  const lines = commands.flatMap((command) => {
    const { words, flags, choices, text } = command;
    const others = groupsOf(commands).filter((group) => group !== words[0]);
    const isUnder = words.map((word) => `${seen} ${word}`).join('; and ');
    const condition = [isUnder, ...(isTop(command) ? others.map((group) => `not ${seen} ${group}`) : [])].join(
      '; and ',
    );
    const start = `complete -c performer -n ${quoted(condition)}`;
    const offered = isTop(command)
      ? [`complete -c performer -n __fish_use_subcommand -a ${words[0]} -d ${quoted(text)}`]
      : [];
    const isOpen = choices.length === 0;
    return [
      ...offered,
      ...(isOpen ? [`${start} -F`] : []),
      ...choices.map((choice) => {
        const isNone = `${condition}; and not ${seen} ${namesOf(choices)}`;
        return `complete -c performer -n ${quoted(isNone)} -a ${nameOf(choice)} -d ${quoted(choice.text)}`;
      }),
      ...flags.map(({ name, text: told, takes }) => {
        const values = { nothing: '', word: ' -x', file: ' -r -F' };
        const value = typeof takes === 'string' ? values[takes] : ` -x -a ${quoted(takes.join(' '))}`;
        return `${start} -l ${name}${value} -d ${quoted(told)}`;
      }),
    ];
  });
  return `# performer: completion for fish\ncomplete -c performer -f\n${lines.join('\n')}\n`;
}

export const scripts = { bash, zsh, fish } as const;
