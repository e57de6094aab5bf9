/** `performer features`: samples of a model or drawn ones, a table or JSON, and being called wrongly. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Recommendation } from '../../src/attention/index.js';
import { performer, small, temporaryFolder, textFile } from './support.js';

const quick = ['--threads', '1', '--draws', '2'];

interface Layer extends Recommendation {
  readonly layer: string;
  readonly queryNorm: number;
  readonly queryRank: number;
}

describe('features', () => {
  test('of drawn samples: a table, and the map that needs the fewest features, or exact attention', async () => {
    const words = ['features', '--dim', '8', '--length', '32', '--feature-counts', '16,64', ...quick];
    const { code, out, err } = await performer([...words, '--std', '0.3', '--tolerance', '0.3']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/drawn samples: \|q\| 0\.\d+, \|k\| 0\.\d+, effective rank [67]\.\d and [67]\.\d/);
    for (const name of ['positive', 'hyperbolic', 'trigonometric', 'oprf', 'sderf', 'aderf', 'taylor']) {
      expect(out).toMatch(new RegExp(`^${name}`, 'm'));
    }
    expect(out).toMatch(/for 0\.3: \w+.* with (16|45|64) features \(measured 0\.\d+\)/);
    const large = await performer([...words, '--std', '4', '--tolerance', '0.01']);
    expect(large.code).toBe(0);
    expect(large.out).toContain('no map is within 0.01 by 64 features: use exact attention, or more features');
  });

  test('of a model: every layer, its own queries and keys, in JSON', async () => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const run = join(folder, 'run');
    expect((await performer(['train', text, '--out', run, ...small])).code).toBe(0);
    const words = ['features', run, text, '--window', '32', '--windows', '2', '--maps', 'positive,sderf', '--json'];
    const kinds = ['--projection-kinds', 'iid,simplex', '--feature-counts', '8,32', '--measure'];
    const { code, out } = await performer([...words, ...kinds, ...quick]);
    expect(code).toBe(0);
    const { layers } = JSON.parse(out) as { layers: Layer[] };
    expect(layers.map(({ layer }) => layer)).toEqual(['layer 0']);
    expect(layers[0]!.queryNorm).toBeGreaterThan(0);
    expect(layers[0]!.queryRank).toBeGreaterThan(1);
    expect(layers[0]!.candidates.map(({ name, projectionKind }) => `${name} ${projectionKind}`)).toEqual([
      'positive iid',
      'positive simplex',
      'sderf iid',
      'sderf simplex',
    ]);
    for (const { estimates } of layers[0]!.candidates) {
      expect(estimates.map(({ featureCount }) => featureCount)).toEqual([8, 32]);
      expect(estimates.every(({ predicted, measured }) => predicted! > 0 && measured! > 0)).toBe(true);
    }
    const short = await performer(['features', run, text, '--window', '100000', ...quick]);
    expect(short.code).toBe(1);
    expect(short.err).toMatch(/at least the 100000 tokens of a window/);
  });

  test.each<[string, string[], RegExp]>([
    ['neither a model nor a dim', [], /expected a folder with a model, or --dim/],
    ['both', ['run', '--dim', '8'], /and not both/],
    ['a model without files', ['run'], /expected files that the model reads/],
    ['an unknown map', ['--dim', '8', '--maps', 'positive,sine'], /--maps: expected positive, .*got sine/],
    ['an unknown kind', ['--dim', '8', '--projection-kinds', 'haar'], /--projection-kinds: expected iid, .*got haar/],
    [
      'falling numbers',
      ['--dim', '8', '--feature-counts', '64,32'],
      /--feature-counts: expected ascending even numbers/,
    ],
    ['numbers that are none', ['--dim', '8', '--feature-counts', '64,x'], /--feature-counts: .*got 64,x/],
    [
      'root of a shaped map',
      ['--dim', '8', '--maps', 'oprf', '--row-norm', 'root'],
      /--row-norm: expected chi for oprf/,
    ],
    ['a tolerance of 0', ['--dim', '8', '--tolerance', '0'], /--tolerance.*>0/],
  ])('called with %s ends with 2 and one line', async (_, words, message) => {
    const { code, out, err } = await performer(['features', ...words]);
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
