/** How long one waits: for the first token of the command, and for a session of a deep model. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GenerationSession } from '../src/generation/index.js';
import { spec, specsOf } from '../src/graph/index.js';
import { languageModelConfig, modelOf, presets } from '../src/models/index.js';
import { initialSnapshot, trainingConfig } from '../src/training/index.js';
import { CheckpointFolder } from '../src/training/node.js';
import { median } from './measure.js';
import { engine, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, figure } from './report.js';

/** Milliseconds from the start of `performer generate` to its first byte. */
async function firstToken(folder: string): Promise<number> {
  const began = performance.now();
  const words = ['dist/cli/main.js', 'generate', folder, '--prompt', 'The ', '--max-tokens', '1'];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let first: number | undefined;
  child.stdout.on('data', () => {
    first ??= performance.now() - began;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0 || first === undefined) throw new Error(`performer generate ended with ${code}`);
  return first;
}

export const startUp: Benchmark = {
  name: 'start-up',
  title: 'start-up: the first token from a cold process, and a session for 24 layers',
  async run({ isQuick }: BenchmarkOptions) {
    const folder = await mkdtemp(join(tmpdir(), 'performer-bench-'));
    try {
      const { model, training } = presets.tiny;
      const snapshot = initialSnapshot(languageModelConfig(model), trainingConfig(training));
      const store = await CheckpointFolder.open(folder);
      await store.save({ ...snapshot, best: { step: 0, loss: 6 } });
      await store.close();
      const times: number[] = [];
      for (let i = 0; i < (isQuick ? 1 : 7); i++) times.push(await firstToken(folder));
      const depth = isQuick ? 2 : 24;
      const deep = modelOf(languageModelConfig({ ...presets.small.model, depth }));
      const loaded = { model: deep, ...weightsOf(deep) };
      const creations: number[] = [];
      const firstTokens: number[] = [];
      for (let i = 0; i < (isQuick ? 1 : 3); i++) {
        const start = performance.now();
        const session = await GenerationSession.create(engine, loaded);
        await session.step(Int32Array.of(32));
        firstTokens.push(performance.now() - start);
        await session.dispose();
        const began = performance.now();
        const executable = await engine.compile(
          (params: object, buffers: object, { tokens }) => deep.apply({ params, buffers }, { tokens }).output,
          [specsOf(deep.params), specsOf(deep.buffers), { tokens: spec('int32', [1, 256]) }],
        );
        creations.push(performance.now() - began);
        await executable.dispose();
      }
      return [
        figure('performer generate, 1.4 M parameters: first token', median(times) / 1000, 's', { atMost: 0.8 }),
        figure(`session of ${depth} layers, dim 512, forward`, median(creations) / 1000, 's', { atMost: 1.5 }),
        figure(`session of ${depth} layers to generate with, and its first token`, median(firstTokens) / 1000, 's'),
      ];
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
