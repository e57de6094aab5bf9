import { expect, test } from 'vitest';
import { lossCurve } from '../../src/cli/loss-curve.js';

const points = (count: number, loss: (step: number) => number) =>
  Array.from({ length: count }, (_, index) => ({ step: index + 1, loss: loss(index + 1) }));

test('a curve shows training and held-out losses in plain ASCII', () => {
  const heldOut = [20, 40].map((step) => ({ step, loss: 1 + 4 / step }));
  const curve = lossCurve({ train: points(40, (step) => 5 / step), heldOut }, { width: 20, height: 6 });
  expect(curve).toMatchInlineSnapshot(`
    "         mean loss:  * training  o held out
      3.750 |*
            |
            |
      1.576 | *
            |  ***    o         o
      0.127 |     ***************
            +--------------------
             1                 40  step"
  `);
  expect(curve).toMatch(/^[\x20-\x7e\n]*$/);
});

test('losses that are not finite are left out, and nothing is drawn of nothing', () => {
  expect(lossCurve({ train: [], heldOut: [] })).toBe('');
  expect(lossCurve({ train: [{ step: 1, loss: Number.NaN }], heldOut: [] })).toBe('');
  const curve = lossCurve({ train: points(5, (step) => (step === 3 ? Number.NaN : step)), heldOut: [] });
  expect(curve).not.toContain('NaN');
});

test('equal losses are a flat line', () => {
  expect(lossCurve({ train: points(10, () => 2), heldOut: [] }, { height: 3 })).toContain('**********');
});
