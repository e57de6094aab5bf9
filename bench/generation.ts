/** Generation: the time of a token does not depend on how many came before. */
import { GenerationSession } from '../src/generation/index.js';
import { inTurns } from './measure.js';
import { config, engine, modelOf, someTokens } from './model.js';
import { type Benchmark, bounded } from './report.js';

const tokensPerRound = 100;

export const generation: Benchmark = {
  name: 'generation',
  title: 'generation, one sequence: time per token at position 65,536 against position 256',
  async run() {
    const { params, projections } = modelOf();
    const sessionAt = async (position: number) => {
      const session = await GenerationSession.create(engine, config, params, projections, { readChunk: 2048 });
      await session.read([someTokens(position)]);
      return session;
    };
    const early = await sessionAt(256);
    const late = await sessionAt(65_536);
    const decode = (session: GenerationSession) => async () => {
      for (let i = 0; i < tokensPerRound; i++) await session.step(Int32Array.of(i % 256));
    };
    await decode(late)();
    const before = process.memoryUsage().rss;
    // Each round begins anew at its position: a state is a value.
    const times = await inTurns({ early: decode(early), late: decode(late) }, { warmup: 1, rounds: 9 });
    const grown = (process.memoryUsage().rss - before) / 1e6;
    const perToken = (milliseconds: number) => milliseconds / tokensPerRound;
    return [
      { what: 'position 256', value: `${perToken(times.early.median).toFixed(2)} ms a token` },
      bounded(
        {
          what: 'position 65,536',
          value: `${perToken(times.late.median).toFixed(2)} ms a token`,
          ratio: times.late.median / times.early.median,
          opponent: 'that at 256',
        },
        { atMost: 1.1 },
      ),
      { what: 'memory grown over 2,000 tokens', value: `${grown.toFixed(0)} MB` },
    ];
  },
};
