import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { openCsv } from '../../src/data/node.js';
import { nodeEngine } from '../../src/engine/node.js';
import { fitKernelMachine, tableSamples } from '../../src/machines/index.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that are still in use after garbage collection. */
function bytesInUse(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test('a fit holds no more of a file after 60,000 rows than after 5,000', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'performer-memory-'));
  try {
    const path = join(folder, 'data.csv');
    const file = await open(path, 'w');
    await file.write('a,b,c,d,e,f,g,h,y\n');
    for (let part = 0; part < 60; part++) {
      const lines = Array.from({ length: 1000 }, (_, row) => {
        const x = Array.from({ length: 8 }, (_, column) => Math.sin(part * 1000 + row * (column + 1)).toFixed(6));
        return `${x.join(',')},${part + row}\n`;
      });
      await file.write(lines.join(''));
    }
    await file.close();
    const format = { header: true, delimiter: ',' };
    const choice = { task: 'regression', targets: ['y'], ignore: [] } as const;
    const { samples } = tableSamples(await openCsv(path, format), choice, format);
    const seen = new Map<string, { first: number; most: number; next: number }>();
    await fitKernelMachine(
      nodeEngine({ threads: 1 }),
      samples,
      { featureCount: 16 },
      {
        onProgress(stage, rows) {
          const at = seen.get(stage);
          if (rows < (at?.next ?? 5000)) return;
          const now = bytesInUse();
          seen.set(stage, { first: at?.first ?? now, most: Math.max(at?.most ?? 0, now), next: rows + 5000 });
        },
      },
    );
    expect([...seen.keys()]).toEqual(['survey', 'features', 'solve', 'measure']);
    // 55,000 rows of nine numbers are 4 MB even as float64, and ten times that as text.
    for (const [stage, { first, most }] of seen) expect(most - first, stage).toBeLessThan(2e6);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
