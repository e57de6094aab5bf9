/** Generation: the time of a token does not depend on how many came before. */
import { GenerationSession } from '../src/generation/index.js';
import { inTurns } from './measure.js';
import { engine, model, someTokens, weightsOf } from './model.js';
import { type Benchmark, type BenchmarkOptions, comparison, figure, spreadOf } from './report.js';

export const generation: Benchmark = {
  name: 'generation',
  title: 'generation, one sequence: time per token at position 65,536 against position 256, and memory',
  async run({ isQuick }: BenchmarkOptions) {
    const [tokensPerRound, far] = isQuick ? [2, 512] : [100, 65_536];
    const loaded = { model, ...weightsOf() };
    const sessionAt = async (position: number) => {
      const session = await GenerationSession.create(engine, loaded, { readChunk: 2048 });
      await session.read([someTokens(position)]);
      return { session, saved: await session.saveState() };
    };
    const early = await sessionAt(256);
    const late = await sessionAt(far);
    const decode = async (session: GenerationSession, count: number) => {
      for (let i = 0; i < count; i++) await session.step(Int32Array.of(i % 256));
    };
    /** Each round begins anew at its position. */
    const round =
      ({ session, saved }: Awaited<ReturnType<typeof sessionAt>>) =>
      async () => {
        session.loadState(saved);
        await decode(session, tokensPerRound);
      };
    const rounds = { warmup: 1, rounds: isQuick ? 1 : 9 };
    const times = await inTurns({ early: round(early), late: round(late) }, rounds);
    const before = process.memoryUsage.rss();
    const further = 20 * tokensPerRound;
    await decode(late.session, further);
    const grown = (process.memoryUsage.rss() - before) / 1e6;
    const perToken = (milliseconds: number) => milliseconds / tokensPerRound;
    return [
      comparison(
        {
          what: `a token at position ${far.toLocaleString('en-US')}`,
          ours: perToken(times.late.median),
          theirs: perToken(times.early.median),
          spread: spreadOf(times.late, times.early),
          unit: 'ms',
          opponent: 'one at 256',
          ratio: 'ours/theirs',
        },
        { atMost: 1.1 },
      ),
      figure(`memory grown over ${further.toLocaleString('en-US')} tokens more`, grown, 'MB', { atMost: 32 }),
    ];
  },
};
