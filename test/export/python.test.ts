/** Exported models in Python, where `python3` has the packages onnx and onnxruntime. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as nodeRuntime from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { type HostTensor, int32 } from '../../src/base/index.js';
import { exportOnnx } from '../../src/export/index.js';
import { temporaryFolder } from '../cli/support.js';
import { largestError } from '../support/compare.js';
import { randomModel } from '../support/model-conformance.js';
import { type Feeds, feedsOf, openOnnx, type Runtime, zeroState } from './run-onnx.js';

const hasPackages = spawnSync('python3', ['-c', 'import onnx.reference, onnxruntime']).status === 0;
const script = fileURLToPath(new URL('check_onnx.py', import.meta.url));
const options = {
  attention: { kind: 'hybrid', window: 3, features: { featureCount: 8 }, forgetting: 'gates' },
  ...{ norm: 'rms', activation: 'swiglu' },
};

const asJson = (feeds: Feeds) =>
  Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, { ...tensor, data: [...tensor.data] }]));

test.runIf(hasPackages).each(['whole', 'streaming'] as const)(
  "the checker of ONNX accepts the %s form, and its reference and Python's ONNX Runtime give what Node's gives",
  async (form) => {
    const bytes = exportOnnx(randomModel('causal-language-model', options), { form });
    const model = join(await temporaryFolder(), 'model.onnx');
    await writeFile(model, bytes);
    const exported = await openOnnx(nodeRuntime as unknown as Runtime, bytes);
    const tokens = int32(
      [2, 9],
      Int32Array.from({ length: 18 }, (_, at) => (at * 37) % 256),
    );
    const feeds = { ...feedsOf({ tokens }), ...(form === 'streaming' && zeroState(exported.session, 2)) };
    const expected = await exported.run(feeds);
    const input = JSON.stringify({ model, feeds: asJson(feeds) });
    const told = JSON.parse(execFileSync('python3', [script], { input, encoding: 'utf8', maxBuffer: 2 ** 28 }));
    for (const runtime of ['reference', 'onnxruntime']) {
      for (const [name, tensor] of Object.entries(expected)) {
        const own = told[runtime][name] as HostTensor;
        expect(own.shape, name).toEqual(tensor.shape);
        expect(largestError(own, tensor), `${runtime} ${name}`).toBeLessThan(1e-5);
      }
    }
  },
);
