/**
 * Writes what Debian says of its packages as JSON lines: name and short description as the text, and as labels those of its
 * tags that 500 packages have at least: apt-cache dumpavail | node examples/debian-tags.mjs > packages.jsonl
 */
import { text } from 'node:stream/consumers';

const fewest = 500;
const stanzas = (await text(process.stdin)).replaceAll(/\n[ \t]+/g, ' ').split('\n\n');
const packages = stanzas.flatMap((stanza) => {
  const fieldOf = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1];
  const [name, description, tags] = ['Package', 'Description', 'Tag'].map(fieldOf);
  return name && description && tags ? [{ text: `${name}: ${description}`, labels: tags.split(/,\s*/) }] : [];
});
const counts = new Map();
for (const { labels } of packages) for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
const kept = (labels) => labels.filter((label) => counts.get(label) >= fewest);
process.stdout.write(packages.map(({ text, labels }) => `${JSON.stringify({ text, label: kept(labels) })}\n`).join(''));
