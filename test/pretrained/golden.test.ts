/** Imported models give what the original implementation gave for the same weights and inputs (test/golden/README.md). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { int32 } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { specsOf } from '../../src/graph/index.js';
import type { ModelInputs } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';

const golden = fileURLToPath(new URL('../golden/pretrained', import.meta.url));
const engine = nodeEngine({ threads: 1 });

interface Case {
  readonly name: string;
  readonly inputs: {
    readonly input_ids: readonly (readonly number[])[];
    readonly attention_mask?: readonly (readonly number[])[];
    /** Of performer-pytorch, whose padding is a part of what real tokens see. */
    readonly mask?: readonly (readonly number[])[];
    readonly token_type_ids?: readonly (readonly number[])[];
    readonly position_ids?: unknown;
  };
  readonly outputs: Readonly<Record<string, readonly (readonly (readonly number[])[])[]>>;
}

/** The largest difference of logits, or hidden layers where the original has no head, over all real tokens of all cases whose padding stands on the right. */
async function largestDifference(folder: string): Promise<number> {
  const { model, params, buffers } = await loadModel(folder);
  const { more = [], ...main } = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Case & {
    readonly more?: readonly Case[];
  };
  let largest = 0;
  for (const { inputs, outputs } of [main, ...more]) {
    if (inputs.position_ids !== undefined) continue; // our texts begin at the left
    const rows = inputs.input_ids;
    const masks = inputs.attention_mask ?? inputs.mask ?? rows.map((row) => row.map(() => 1));
    const lengths = masks.map((row) => row.reduce((a, b) => a + b, 0));
    const given = {
      tokens: int32([rows.length, rows[0]!.length], rows.flat()),
      lengths: int32([rows.length], lengths),
      ...(inputs.token_type_ids && {
        types: int32([rows.length, rows[0]!.length], inputs.token_type_ids.flat()),
      }),
    };
    const expected = outputs.logits ?? outputs.last_hidden_state!;
    const run = await engine.compile(
      (learned: object, fixed: object, own: ModelInputs) => {
        const { output, hidden } = model.apply({ params: learned, buffers: fixed }, own);
        return { found: outputs.logits === undefined ? hidden : output };
      },
      [specsOf(params), specsOf(buffers), specsOf(given)] as never,
    );
    const { found } = (await run.run([params, buffers, given] as never)) as { found: { data: Float32Array } };
    await run.dispose();
    expected.forEach((row, at) => {
      if (inputs.mask?.[at]?.includes(0)) return;
      row.slice(0, lengths[at]).forEach((values, place) => {
        const start = (at * row.length + place) * values.length;
        values.forEach((value, index) => {
          const difference = Math.abs(value - found.data[start + index]!);
          largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(largest, difference);
        });
      });
    });
  }
  return largest;
}

describe('the logits of the original implementation are those of', () => {
  test.each([
    'gpt2',
    'gpt2-hub',
    'llama',
    'llama3-bf16-sharded',
    'mistral',
    'qwen2',
    'gpt-neox',
    'gpt-neox-sequential',
    'pythia-f16',
    ...['bert-mlm', 'bert-legacy', 'bert-model', 'minilm', 'roberta', 'distilbert', 'esm2'],
    ...['performer-bidirectional', 'performer-relu', 'performer-no-projection'],
  ])('%s', async (name) => {
    expect(await largestDifference(join(golden, name))).toBeLessThan(1e-5);
  });
});
