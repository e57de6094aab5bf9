/** A guard for objects whose calls must not overlap: each reads what the one before it wrote. */
import { PerformerError } from './errors.js';

export class OneAtATime {
  readonly #name: string;
  readonly #kind: string;
  #status: 'idle' | 'busy' | 'disposed' = 'idle';

  /** For messages such as `Trainer: expected a trainer at rest`. */
  constructor(name: string, kind: string) {
    this.#name = name;
    this.#kind = kind;
  }

  /** Throws USAGE while a call is under way, and after the end. */
  expectIdle(): void {
    if (this.#status === 'idle') return;
    const got = this.#status === 'busy' ? 'a call before the last one ended' : 'one disposed of';
    throw new PerformerError('USAGE', `${this.#name}: expected a ${this.#kind} at rest, got ${got}. Await each call.`);
  }

  /** Does the work alone. Throws USAGE as `expectIdle`, and what the work throws. */
  async run<R>(work: () => Promise<R>): Promise<R> {
    this.expectIdle();
    this.#status = 'busy';
    try {
      return await work();
    } finally {
      this.#status = 'idle';
    }
  }

  /** Ends the use of the object. Returns false where it has ended before; throws USAGE while a call is under way. */
  end(): boolean {
    if (this.#status === 'disposed') return false;
    this.expectIdle();
    this.#status = 'disposed';
    return true;
  }
}
