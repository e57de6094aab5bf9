/** `performer compare`: equal models but for their kernel, ranked, and taken up again where they stopped. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { rankingTable, rankVariants } from '../../src/cli/compare-results.js';
import { performer, small, temporaryFolder, textFile } from './support.js';

async function comparison(words: readonly string[], around = {}) {
  const folder = await temporaryFolder();
  const out = join(folder, 'kernels');
  const text = await textFile(folder);
  const ran = await performer(['compare', text, '--out', out, ...small, ...words], around);
  return { out, text, ran };
}

const resultsOf = async (out: string) => JSON.parse(await readFile(join(out, 'results.json'), 'utf8'));

/** Results without what a clock says. */
const timeless = (results: { runs: Record<string, unknown>[] }) =>
  results.runs.map(({ tokensPerSecond, stepSeconds, seconds, ...rest }) => rest);

describe('a comparison', () => {
  test('trains each kernel with each seed from equal weights and ranks them', async () => {
    const kernels = 'softmax,none,positive,relu:projection-kind=none,hedgehog';
    const { out, ran } = await comparison(['--kernels', kernels, '--seeds', '2', '--seed', '5']);
    expect(ran.err).toBe('');
    expect(ran.code).toBe(0);
    const { ranking, runs } = await resultsOf(out);
    expect(runs).toHaveLength(10);
    expect(runs.map(({ seed }: { seed: number }) => seed)).toEqual([5, 5, 5, 5, 5, 6, 6, 6, 6, 6]);
    expect(ranking.map(({ variant }: { variant: string }) => variant).sort()).toEqual(kernels.split(',').sort());
    const losses = ranking.map(({ loss }: { loss: number }) => loss);
    expect(losses).toEqual([...losses].sort((a, b) => a - b));
    for (const { runs: count, deviation, best, worst, loss } of ranking) {
      expect(count).toBe(2);
      expect(deviation).toBeCloseTo((worst - best) / Math.SQRT2, 10);
      expect(loss).toBeCloseTo((best + worst) / 2, 10);
    }
    const curves = (await readFile(join(out, 'curves.csv'), 'utf8')).trim().split('\n');
    expect(curves[0]).toBe('variant,seed,kind,step,loss');
    expect(curves.filter((line) => line.startsWith('softmax,5,train,'))).toHaveLength(6);
    expect(await readFile(join(out, 'ranking.md'), 'utf8')).toBe(`${rankingTable(ranking)}\n`);
    expect(ran.out).toContain(rankingTable(ranking));
  });

  test('that is stopped goes on as if it had not been, bit for bit', async () => {
    const words = ['--kernels', 'positive,elu', '--seeds', '1', '--checkpoint-interval', '2'];
    const whole = await comparison(words);
    const broken = await comparison(words, { stopAt: /run 2\/2.*step 1\/6/s });
    expect(broken.ran.code).toBe(130);
    expect(broken.ran.out).toMatch(/Stopped and saved/);
    expect((await resultsOf(broken.out)).runs.at(-1)).toMatchObject({ variant: 'elu', steps: 6 });
    expect((await resultsOf(broken.out)).runs.at(-1).step).toBeLessThan(6);
    const next = broken.ran.out.trimEnd().split('\n').at(-1)?.trim() as string;
    expect((await performer([...next.split(' ').slice(1), '--threads', '1'])).code).toBe(0);
    expect(timeless(await resultsOf(broken.out))).toEqual(timeless(await resultsOf(whole.out)));
    const curves = async (out: string) => readFile(join(out, 'curves.csv'), 'utf8');
    expect(await curves(broken.out)).toBe(await curves(whole.out));
  });

  test('that is stopped at the last evaluation of a run goes on with that', async () => {
    const words = ['--kernels', 'positive,elu', '--seeds', '1', '--steps', '1'];
    const whole = await comparison(words);
    const broken = await comparison(words, { stopAt: /run 1\/2.*step 1\/1/s });
    expect(broken.ran.out).toMatch(/Stopped and saved/);
    expect(broken.ran.out).not.toMatch(/run 2\/2/);
    expect((await performer(['compare', '--out', broken.out, '--resume', '--threads', '1'])).code).toBe(0);
    expect(timeless(await resultsOf(broken.out))).toEqual(timeless(await resultsOf(whole.out)));
  });

  test('that was killed before the first checkpoint of a run was whole goes on', async () => {
    const words = ['--kernels', 'positive,elu', '--seeds', '1'];
    const { out, ran } = await comparison(words);
    expect(ran.code).toBe(0);
    const before = await resultsOf(out);
    const folder = join(out, 'runs', 'elu-seed-0');
    await rm(folder, { recursive: true });
    await mkdir(join(folder, 'checkpoints', '.step-00000000.1'), { recursive: true });
    expect(await performer(['compare', '--out', out, '--resume', '--threads', '1'])).toMatchObject({
      code: 0,
      err: '',
    });
    expect(timeless(await resultsOf(out))).toEqual(timeless(before));
  });

  test('goes on after a run that diverges, and says so', async () => {
    const words = ['--kernels', 'positive,elu', '--seeds', '1', '--learning-rate', '1e30', '--warmup', '0'];
    const { out, ran } = await comparison([...words, '--clip-norm', '1e9']);
    expect(ran.code).toBe(0);
    expect(ran.err).toMatch(/^note: positive, seed 0 diverged: step 2: .*\nnote: elu, seed 0 diverged: /);
    const { ranking, runs } = await resultsOf(out);
    expect(runs).toMatchObject([
      { variant: 'positive', isDiverged: true },
      { variant: 'elu', isDiverged: true },
    ]);
    expect(ranking).toMatchObject([
      { runs: 0, diverged: 1, loss: null },
      { runs: 0, diverged: 1, loss: null },
    ]);
    expect(await readFile(join(out, 'ranking.md'), 'utf8')).toMatch(/\| positive \| diverged \|.*0, 1 diverged/);
  });

  test('takes any option of the model behind the name of a kernel', async () => {
    const kernels =
      'favor+:positions=none,positive:feature-count=16:token-shift=0,softmax:positions=learned:max-length=32';
    const { out, ran } = await comparison(['--kernels', kernels, '--seeds', '1', '--steps', '1']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    const { runs } = JSON.parse(await readFile(join(out, 'compare.json'), 'utf8'));
    expect(runs.map(({ model }: { model: object }) => model)).toMatchObject([
      { positions: { kind: 'none' }, tokenShift: 1, attention: { features: { name: 'positive', featureCount: 8 } } },
      { positions: { kind: 'rotary' }, tokenShift: 0, attention: { features: { featureCount: 16 } } },
      { positions: { kind: 'learned', maxLength: 32 }, attention: { kind: 'softmax' } },
    ]);
    expect((await resultsOf(out)).runs.map(({ features }: { features?: number }) => features)).toEqual([
      8,
      16,
      undefined,
    ]);
  });

  test('takes any options of models and trainings in variants, and tells what each gives beyond its window', async () => {
    const variants = [
      ...['--variant', 'plain: --attention favor+'],
      ...['--variant', 'exact wide: --attention softmax --window 32 --learning-rate 2e-3'],
      ...['--variant', 'gates: --forgetting gates --token-shift 0 --carry-state'],
    ];
    const words = [...variants, '--seeds', '1', '--held-out', '0.2', '--lengths', '16,64'];
    const { out, ran } = await comparison(words);
    expect(ran).toMatchObject({ code: 0, err: '' });
    const plan = JSON.parse(await readFile(join(out, 'compare.json'), 'utf8'));
    expect(plan).toMatchObject({ version: 2, lengths: [16, 64] });
    expect(plan.runs).toMatchObject([
      { variant: 'plain', model: { attention: { kind: 'favor+', features: { featureCount: 8 } } } },
      {
        variant: 'exact wide',
        model: { attention: { kind: 'softmax' } },
        training: { window: 32, learningRate: 2e-3 },
      },
      {
        variant: 'gates',
        model: { attention: { forgetting: 'gates' }, tokenShift: 0 },
        training: { carryState: true },
      },
    ]);
    const { ranking, runs } = await resultsOf(out);
    const windowsOf = ({ lengths }: { lengths: { window: number }[] }) => lengths.map(({ window }) => window);
    expect(runs.map(windowsOf)).toEqual([
      [16, 64],
      [16, 32, 64],
      [16, 64],
    ]);
    expect(runs.map(({ stream }: { stream?: object }) => stream !== undefined)).toEqual([true, false, true]);
    for (const { variant, loss, lengths, stream } of ranking) {
      const own = runs.find((run: { variant: string }) => run.variant === variant);
      expect(loss).toBe(own.lengths.find(({ window }: { window: number }) => window === own.window).loss);
      expect(lengths.map(({ loss }: { loss: number }) => loss)).toEqual(
        own.lengths.map((each: { loss: number }) => each.loss),
      );
      expect(stream?.loss).toBe(own.stream?.loss);
    }
    const positions = (await readFile(join(out, 'positions.csv'), 'utf8')).trim().split('\n');
    expect(positions[0]).toBe('variant,seed,window,from,to,targets,loss');
    expect(positions.filter((line) => line.startsWith('plain,0,stream,'))).toHaveLength(
      runs[0].stream.byPosition.length,
    );
    const table = await readFile(join(out, 'ranking.md'), 'utf8');
    expect(table).toMatch(
      /\| variant +\|.*\| +at 16 \| +at 32 \| +at 64 \| +one text \|.*ms\/step \| +minutes \| +state KiB/,
    );
    // A run that is done is not found out again: what it gave stands in its folder.
    const path = join(out, 'runs', 'plain-seed-0', 'result.json');
    const kept = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify({ ...kept, parameters: 12345 }));
    expect((await performer(['compare', '--out', out, '--resume', '--threads', '1'])).code).toBe(0);
    expect((await resultsOf(out)).runs[0].parameters).toBe(12345);
  });

  test('takes what only features have for the kernels that have features', async () => {
    const words = ['--kernels', 'softmax,positive', '--seeds', '1', '--redraw-interval', '3'];
    expect((await comparison(words)).ran).toMatchObject({ code: 0, err: '' });
  });

  test('within a budget of time finds the steps that fit', async () => {
    const words = small.filter((word, at) => word !== '--steps' && small[at - 1] !== '--steps');
    const folder = await temporaryFolder();
    const out = join(folder, 'kernels');
    const text = await textFile(folder);
    const timed = ['--kernels', 'positive', '--seeds', '1', '--minutes', '0.003'];
    const ran = await performer(['compare', text, '--out', out, ...words, ...timed]);
    expect(ran.code).toBe(0);
    const [, steps] = /positive: (\d+) steps fit/.exec(ran.out) as unknown as [string, string];
    expect((await resultsOf(out)).runs[0].step).toBe(Number(steps));
  });

  test.each([
    [
      ['--kernels', 'sofmax'],
      /--kernels: expected favor\+, softmax, hybrid, window, local-heads, clustered, routing, routing-hybrid, none, positive.*got "sofmax"/,
    ],
    [['--kernels', 'relu,relu'], /got relu twice/],
    [['--kernels', 'relu:colour=red'], /expected feature-count=….*got colour=red/],
    [['--kernels', 'positive:projection-kind=none'], /--projection-kind of positive:.*need a projection/],
    [['--kernels', 'favor+:polynomial-degree=3'], /--polynomial-degree of favor\+:.*only polynomial features have it/],
    [['--minutes', '1'], /--steps or --minutes, got both/],
    [['--feature-map', 'relu'], /--feature-map: expected it among the names of --kernels, which choose it/],
    [['--kernels', 'elu', '--variant', 'a: --dim 8'], /expected --kernels or --variant, got both/],
    [['--variant', 'a --dim 8'], /expected a name, a colon and flags of train, got "a --dim 8"/],
    [['--variant', 'a: --colour red'], /--variant a: unknown option '--colour'/],
    [['--variant', 'a: --dim x'], /--variant a: option '--dim <n>' argument 'x' is invalid/],
    [['--variant', 'a: 8'], /--variant a: too many arguments/],
    [['--variant', 'a: --dim 8', '--variant', 'a: --dim 16'], /expected each name once, got a twice/],
    [
      ['--variant', 'a: --attention softmax --feature-count 8'],
      /--feature-count of a:.*does not have it|--feature-count of a: only/,
    ],
    [['--seeds', '0'], /--seeds/],
  ])('is refused for %j', async (words, message) => {
    const { ran } = await comparison(words);
    expect(ran.code).toBe(2);
    expect(ran.err).toMatch(message);
  });

  test('is not begun twice in one folder, and not resumed where there is none', async () => {
    const { out, text, ran } = await comparison(['--kernels', 'elu', '--seeds', '1']);
    expect(ran.code).toBe(0);
    const again = await performer(['compare', text, '--out', out, ...small, '--kernels', 'elu']);
    expect(again).toMatchObject({ code: 2, err: expect.stringMatching(/without a comparison, got one.*--resume/) });
    const none = await performer(['compare', '--out', `${out}-none`, '--resume']);
    expect(none).toMatchObject({ code: 1, err: expect.stringMatching(/expected a comparison to resume/) });
    const changed = await performer(['compare', '--out', out, '--resume', '--dim', '64']);
    expect(changed).toMatchObject({ code: 2, err: expect.stringMatching(/--dim: expected only --out/) });
  });
});

/** What the tests of the ranking do not look at. */
const run = {
  seed: 1,
  step: 2,
  steps: 2,
  isDiverged: false,
  parameters: 9,
  bytesPerToken: 1,
  ...{ tokensPerSecond: 5, stepSeconds: 0.1, seconds: 1, stateBytes: 1024, window: 8 },
  train: [],
};

test('a kernel that was run once has no deviation', () => {
  const [first, second] = rankVariants([
    { ...run, variant: 'a', heldOut: [{ step: 2, loss: 2 }] },
    {
      ...run,
      variant: 'b',
      heldOut: [
        { step: 1, loss: 0.5 },
        { step: 2, loss: 1 },
      ],
    },
    { ...run, variant: 'c', heldOut: [] },
  ]);
  expect(first).toMatchObject({ variant: 'b', loss: 1, deviation: undefined });
  expect(second).toMatchObject({ variant: 'a', loss: 2 });
});

test('a kernel that diverged comes after those that did not, by what is left of it', () => {
  const at = (loss: number) => ({ heldOut: [{ step: 2, loss }] });
  const ranking = rankVariants([
    { ...run, ...at(0.5), variant: 'all', isDiverged: true },
    { ...run, ...at(1), variant: 'one' },
    { ...run, ...at(9), variant: 'one', isDiverged: true },
    { ...run, ...at(3), variant: 'none' },
  ]);
  expect(ranking.map(({ variant, runs, diverged, loss }) => [variant, runs, diverged, loss])).toEqual([
    ['none', 1, 0, 3],
    ['one', 1, 1, 1],
    ['all', 0, 1, Number.POSITIVE_INFINITY],
  ]);
  const table = rankingTable(ranking).split('\n');
  expect(table[3]).toMatch(/\| one +\| +1\.0000 \|.*\| 1, 1 diverged \|$/);
  expect(table[4]).toMatch(/\| all +\| diverged \|.*\| 0, 1 diverged \|$/);
});
