/**
 * An engine that lets a page or a worker see its events, such as a click on Stop, between two runs. WebAssembly computes in
 * the thread that asks, and never gives it back by itself: whatever trains, evaluates, generates or embeds on such an engine
 * can be stopped, and tells its progress.
 */
import type { Engine, Executable } from '../engine/index.js';

/** Milliseconds between two breaths: short beside what a person notices, long beside what a breath takes. */
const interval = 50;

/** The engine, each of whose runs is followed by a turn of the event loop, when it is time for one. */
export function breathingEngine(engine: Engine): Engine {
  let last = performance.now();
  const breathe = async () => {
    if (performance.now() - last < interval) return;
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    last = performance.now();
  };
  const breathing = <A extends readonly unknown[], R>(compiled: Executable<A, R>): Executable<A, R> => ({
    async run(args, options) {
      const result = await compiled.run(args, options);
      await breathe();
      return result;
    },
    dispose: () => compiled.dispose(),
  });
  return {
    name: engine.name,
    products: engine.products,
    compile: async (build, args) => breathing(await engine.compile(build, args)),
    place: (tree) => engine.place(tree),
    fetch: (tree) => engine.fetch(tree),
    free: (tree) => engine.free(tree),
  };
}
