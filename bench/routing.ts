/**
 * Attention that routes by clusters of keys, and FAVOR+, against exact attention: alone, in the training step of a language
 * model, and for a token of a session.
 */
import { GenerationSession } from '../src/generation/index.js';
import { languageModelConfig, modelOf, presets } from '../src/models/index.js';
import { prepared, window } from './attention.js';
import { inTurns, type Timing } from './measure.js';
import { engine, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, type Row, spreadOf } from './report.js';
import { preparedStep } from './training-step.js';

const forms = ['routing', 'routing-hybrid', 'favor', 'exact'] as const;
type Name = (typeof forms)[number];
type ByForm<T> = Readonly<Record<Name, T>>;

export const routing: Benchmark = {
  name: 'routing',
  title: `attention to ${window} keys of one of 16 clusters, alone and with FAVOR+ for all else, against exact attention`,
  async run({ isQuick }: BenchmarkOptions) {
    const rows: Row[] = [];
    for (const length of isQuick ? [128] : [1024, 4096]) {
      for (const isCausal of [true, false]) rows.push(...(await alone(length, isCausal, isQuick)));
    }
    rows.push(...(await steps(isQuick ? 128 : 2048, isQuick)));
    return [...rows, ...(await tokens(isQuick))];
  },
};

async function eachForm<T>(make: (name: Name) => Promise<T>): Promise<ByForm<T>> {
  const [routing, hybrid, favor, exact] = [
    await make('routing'),
    await make('routing-hybrid'),
    await make('favor'),
    await make('exact'),
  ];
  return { routing, 'routing-hybrid': hybrid, favor, exact };
}

function compared(what: string, times: ByForm<Timing>): readonly Row[] {
  return (['routing', 'routing-hybrid', 'favor'] as const).map((name) =>
    comparison({
      what: `${what}, ${name}`,
      ...{ ours: times[name].median, theirs: times.exact.median, spread: spreadOf(times[name], times.exact) },
      ...{ unit: 'ms', opponent: 'exact', ratio: 'ours/theirs' },
    }),
  );
}

async function alone(length: number, isCausal: boolean, isQuick: boolean): Promise<readonly Row[]> {
  const all = await eachForm((name) => prepared(name, length, isCausal));
  const runs = await eachForm(async (name) => all[name].run);
  const times = await inTurns(runs, { warmup: isQuick ? 1 : 2, rounds: isQuick ? 1 : 7 });
  for (const { dispose } of Object.values(all)) await dispose();
  return compared(`${isCausal ? 'causal' : 'bidirectional'} attention alone, length ${length}`, times);
}

/** The width of the preset small, two layers. */
function modelWith(name: Name) {
  const { attention: favor, ...sizes } = presets.small.model;
  const attention = {
    routing: { kind: 'routing', window },
    'routing-hybrid': { ...favor, kind: 'routing-hybrid', window },
    favor,
    exact: 'softmax',
  } as const;
  return modelOf(languageModelConfig({ ...sizes, depth: 2, attention: attention[name] }));
}

async function steps(length: number, isQuick: boolean): Promise<readonly Row[]> {
  const runs = await eachForm((name) => preparedStep(length, { of: modelWith(name) }));
  const times = await inTurns(runs, { warmup: 1, rounds: isQuick ? 1 : 5 });
  return compared(`training step, length ${length}`, times);
}

async function tokens(isQuick: boolean): Promise<readonly Row[]> {
  const [count, read] = isQuick ? [2, 64] : [32, 4096];
  const sessions = await eachForm(async (name) => {
    const model = modelWith(name);
    const session = await GenerationSession.create(engine, { model, ...weightsOf(model) });
    await session.read(someTokens(read));
    return { session, saved: await session.saveState() };
  });
  const runs = await eachForm(async (name) => async () => {
    const { session, saved } = sessions[name];
    session.loadState(saved);
    for (let at = 0; at < count; at++) await session.step(Int32Array.of(at));
  });
  const times = await inTurns(runs, { warmup: 1, rounds: isQuick ? 1 : 5 });
  for (const { session } of Object.values(sessions)) await session.dispose();
  return compared(`${count} tokens of a session after ${read.toLocaleString('en-US')}`, times);
}
