/**
 * Losses by position, in octaves: 1, 2, 3–4, 5–8, …, each as long as all before it. An octave ends at a power of two, as
 * windows do, so that no window ends within one. The position of a target is the number of tokens that it is predicted from.
 */

/** The mean loss of the targets at the positions of one octave. */
export interface OctaveLoss {
  /** The first and the last position with a target. */
  readonly from: number;
  readonly to: number;
  /** How many targets there are. */
  readonly targets: number;
  /** Nats a token. */
  readonly loss: number;
}

interface OctaveSum {
  to: number;
  targets: number;
  total: number;
}

/** Adds up losses by position. */
export class Octaves {
  readonly #sums: OctaveSum[] = [];

  /**
   * Adds the loss of one token.
   *
   * @param position from 1.
   */
  add(position: number, loss: number): void {
    const octave = Math.ceil(Math.log2(position));
    for (let next = this.#sums.length; next <= octave; next++) this.#sums.push({ to: 0, targets: 0, total: 0 });
    const sum = this.#sums[octave] as OctaveSum;
    sum.to = Math.max(sum.to, position);
    sum.targets++;
    sum.total += loss;
  }

  /** The octaves that have targets, in their order. */
  get losses(): readonly OctaveLoss[] {
    return this.#sums.flatMap(({ to, targets, total }, octave) =>
      targets === 0 ? [] : [{ from: octave === 0 ? 1 : 2 ** (octave - 1) + 1, to, targets, loss: total / targets }],
    );
  }
}

/** The mean loss of all targets of some octaves. */
export function meanLoss(octaves: readonly Pick<OctaveLoss, 'targets' | 'loss'>[]): number {
  const targets = octaves.reduce((sum, octave) => sum + octave.targets, 0);
  return octaves.reduce((sum, octave) => sum + octave.loss * octave.targets, 0) / targets;
}
