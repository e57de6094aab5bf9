/** The classes that one step touches: its targets and the negatives that were drawn for it. */
import { float32, type HostTensor, int32 } from '../../base/array.js';
import type { Tensor } from '../../graph/index.js';
import type { ClassTable } from './class-logits.js';
import { type Draws, logCorrections } from './draws.js';
import { distinctRows, gatherRows } from './host-rows.js';
import { notDrawn, type SampledTargets } from './loss.js';

/** The rows of a table and their Adagrad accumulators. */
export interface TableState<T = Tensor> {
  readonly rows: ClassTable<T>;
  readonly squares: ClassTable<T>;
}

/** What a step's graph reads of the touched classes, and which they are. */
export interface TouchedClasses {
  /** The drawn classes, then those that are targets alone. */
  readonly classes: Int32Array;
  readonly state: TableState<HostTensor>;
  readonly inputs: SampledTargets<HostTensor, HostTensor<'int32'>>;
}

/**
 * Takes the rows of the drawn classes and of the targets [rows] out of the tables of all classes. Throws DATA for a
 * class that is not there.
 */
export function touchClasses(state: TableState<HostTensor>, targets: ArrayLike<number>, draws: Draws): TouchedClasses {
  const drawn = draws.classes.length;
  const all = new Float64Array(drawn + targets.length); // float64, so that a bad target is seen and not rounded
  all.set(draws.classes);
  all.set(targets, drawn);
  const { distinct, places } = distinctRows(all);
  const corrections = new Float32Array(distinct.length).fill(notDrawn);
  corrections.set(logCorrections(draws));
  return {
    classes: Int32Array.from(distinct),
    state: gatherRows(state, distinct),
    inputs: {
      targets: int32([targets.length], places.slice(drawn)),
      corrections: float32([distinct.length], corrections),
    },
  };
}
