/** Lets a page or a worker see its events, such as a click on Stop, while WebAssembly computes in the same thread. */

/** Milliseconds between two breaths: short beside what a person notices, long beside what a breath takes. */
const interval = 50;

/** A function to be awaited between two pieces of work: it waits for the next turn of the event loop, when it is time. */
export function breather(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < interval) return;
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    last = performance.now();
  };
}
