/** What a session compiles, when it is first needed. */

/** Something that is compiled once; where that fails, it is tried again when it is next asked for. */
export class Compiled<T extends { dispose(): Promise<void> }> {
  readonly #compile: () => Promise<T>;
  #executable: Promise<T> | undefined;

  constructor(compile: () => Promise<T>) {
    this.#compile = compile;
  }

  /** Throws what the engine throws. */
  get(): Promise<T> {
    this.#executable ??= this.#compile().catch((cause: unknown) => {
      this.#executable = undefined;
      throw cause;
    });
    return this.#executable;
  }

  /** Frees it, where it was compiled. */
  async dispose(): Promise<void> {
    await (await this.#executable)?.dispose();
  }
}
