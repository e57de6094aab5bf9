/** The recipes for what is added from outside, each compiled and run in a project that has the published package alone. */
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PackedProject, packedProject, root } from './packed-project.js';

const text = readFileSync(join(root, 'docs/extending.md'), 'utf8');
/** The programs by the headings that they stand under. */
const recipes = new Map(
  text
    .split(/^## /m)
    .slice(1)
    .map((section) => [
      section.slice(0, section.indexOf('\n')),
      [...section.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!),
    ]),
);
const nameOf = (heading: string) => heading.toLowerCase().replaceAll(' ', '-');
let project: PackedProject;

beforeAll(async () => {
  project = await packedProject();
  for (const name of ['onnxruntime-node', 'onnxruntime-common']) await project.provide(name);
  const files = await Promise.all(
    [...recipes].map(async ([heading, [code]]) => {
      await writeFile(join(project.folder, `${nameOf(heading)}.ts`), code!);
      return `${nameOf(heading)}.ts`;
    }),
  );
  const options = { module: 'NodeNext', lib: ['ES2023', 'DOM'], noUncheckedIndexedAccess: true };
  expect(await project.complaints(files, { ...options, exactOptionalPropertyTypes: true })).toBe('');
}, 240_000);

afterAll(() => project.remove());

/** What the program under a heading prints, and then what more code that stands after it does. */
async function printed(heading: string, more = ''): Promise<string[]> {
  const code = await readFile(join(project.folder, `${nameOf(heading)}.js`), 'utf8');
  return (await project.run(`${code}\n${more}`)).split('\n');
}

/** That a trained model writes what the largest logits over the whole text say: its state and its recent tokens are right. */
const isGreedy = (prompt: string, tokenizer: string) => `
  const greedy = { maxTokens: 40, temperature: 0 };
  const whole = ${tokenizer}('${prompt}' + (await model.generate('${prompt}', greedy).text()));
  const { shape, data } = await model.logits(whole);
  const [length, vocabulary] = shape;
  const best = Array.from({ length }, (_, at) => {
    const row = data.subarray(at * vocabulary, (at + 1) * vocabulary);
    return row.indexOf(Math.max(...row));
  });
  console.log(JSON.stringify([whole.slice(-40), best.slice(-41, -1)]));`;

it('there is one for each thing that can be added', () => {
  expect([...recipes.keys()]).toEqual(['A feature map', 'A kernel', 'A mixer', 'A tokenizer', 'An op', 'A task']);
  for (const [heading, programs] of recipes) expect(programs, heading).toHaveLength(1);
});

it('a feature map is chosen by its name, with its option', async () => {
  expect((await printed('A feature map')).join()).toContain("name: 'softplus-of', steepness: 2");
});

it('a kernel is chosen by its name, and the model writes token by token what the whole text says', async () => {
  const bytes = '((text) => [...new TextEncoder().encode(text)])';
  const [said, compared] = await printed('A kernel', isGreedy('the cat', bytes));
  expect(said!.length).toBeGreaterThan(0);
  const [written, best] = JSON.parse(compared!);
  expect(best).toEqual(written);
});

it('a mixer with a causal state trains, and writes token by token what the whole text says', async () => {
  const bytes = '((text) => [...new TextEncoder().encode(text)])';
  const [said, compared] = await printed('A mixer', isGreedy('the cat', bytes));
  expect(said!.length).toBeGreaterThan(0);
  const [written, best] = JSON.parse(compared!);
  expect(written).toHaveLength(40);
  expect(best).toEqual(written);
});

it('a tokenizer trains, and its tokens are what the model writes', async () => {
  const [said, compared] = await printed('A tokenizer', isGreedy('the c', '((text) => [...pieces.encode(text)])'));
  expect(said!.length).toBeGreaterThan(0);
  const [written, best] = JSON.parse(compared!);
  expect(best).toEqual(written);
});

it('an op has its values and its gradient', async () => {
  expect(await printed('An op')).toEqual(['[ 1, -8, 0.125 ] [ 3, 12, 0.75 ]']);
});

it('a task is learned by the trainer', async () => {
  const [loss] = await printed('A task');
  expect(Number(loss)).toBeLessThan(0.5); // chance is log 8 = 2.08
});
