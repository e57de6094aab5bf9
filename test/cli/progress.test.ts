import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Output } from '../../src/cli/io.js';
import { barLine, trainingProgress } from '../../src/cli/progress.js';

const told = ['1:02:03 left', 'loss 2.3412', '3.378 bits/byte', '123,456 tokens/s', '1.2 GB'];

describe('the line of a training', () => {
  test.each([20, 40, 60, 80, 100, 200])('fits into %i columns, the time that is left first', (columns) => {
    const line = barLine(1234, 10000, told, columns);
    expect(line.length).toBeLessThan(columns);
    expect(line).toMatch(columns === 20 ? /^[#-]+ 1234\/10000$/ : /1234\/10000 {2}1:02:03 left/);
    for (const figure of line.split('  ').slice(1)) expect(told).toContain(figure); // none is cut
  });

  test('has every figure and the whole bar where there is room', () => {
    expect(barLine(5000, 10000, told, 120)).toBe(`${'#'.repeat(10)}${'-'.repeat(10)} 5000/10000  ${told.join('  ')}`);
  });

  test('has a bar and all figures but the memory at 80 columns', () => {
    const usual = ['1:02 left', 'loss 2.3412', '3.378 bits/byte', '12,345 tokens/s', '312 MB'];
    const told = usual.slice(0, 4).join('  ');
    expect(barLine(230, 760, usual, 80)).toBe(`####--------- 230/760  ${told}`);
  });

  test('is what a terminal of that width is shown', () => {
    let text = '';
    const terminal = new Writable({
      write(chunk, _encoding, done) {
        text += chunk;
        done();
      },
    });
    const output = Object.assign(terminal, { isTTY: true, columns: 40 }) as unknown as Output;
    const progress = trainingProgress(output, 0, 760);
    progress.step({ step: 230, loss: 2.5, bitsPerByte: 3.6, tokensPerSecond: 12345, memory: 3e8, secondsLeft: 62 });
    progress.close();
    expect(text).toContain('230/760  1:02 left  loss 2.5000');
    expect(text).not.toContain('bits/byte');
  });
});
