/** Text from files and people, as it may stand in a message. */

/** Controls, marks that turn or hide text, separators of lines, halves of characters. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

/** A name on one line: what a terminal would act on is escaped as in JSON, and what is beyond `longest` characters cut off. */
export function escaped(text: string, longest = 60): string {
  const short = text.length > longest ? `${text.slice(0, longest)}…` : text;
  const code = (character: string) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(short).slice(1, -1).replace(unprintable, code);
}
