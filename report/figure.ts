/** A figure of the report: what it shows, how it was made, and its numbers. */
import type { Engine } from '../src/engine/index.js';
import type { Drawing } from './plot.js';

export interface FigureOptions {
  readonly engine: Engine;
  readonly seed: number;
  /** Smaller and faster, to see that it works. */
  readonly isQuick: boolean;
  /** Says how far a figure is. */
  note(line: string): void;
}

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Figure {
  readonly name: string;
  readonly title: string;
  /** What the reader should see, and what the axes mean. */
  readonly caption: string;
  readonly drawing: Drawing;
  /** Figures to read off, below. */
  readonly table?: Table;
  /** The numbers behind it. */
  readonly rows: readonly object[];
}

export interface FigureMaker {
  readonly name: string;
  make(options: FigureOptions): Promise<Figure>;
}
