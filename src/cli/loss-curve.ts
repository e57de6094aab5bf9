/** A curve of losses in plain characters. */

export interface CurvePoint {
  readonly step: number;
  /** The mean over the targets of a step or an evaluation: nats a token, nats a text, or squared units, as the task has it. */
  readonly loss: number;
}

export interface CurvePoints {
  readonly train: CurvePoint[];
  readonly heldOut: CurvePoint[];
}

const labelWidth = 7;

/** The mean loss of each column, smoothing the noise of single steps; undefined where it has no point. */
function columnMeans(points: readonly CurvePoint[], columnOf: (step: number) => number, width: number) {
  const sums = new Float64Array(width);
  const counts = new Float64Array(width);
  for (const { step, loss } of points) {
    const column = columnOf(step);
    sums[column] = (sums[column] as number) + loss;
    counts[column] = (counts[column] as number) + 1;
  }
  return Array.from(sums, (total, column) => (counts[column] === 0 ? undefined : total / (counts[column] as number)));
}

/** The curve with its axes and legend, in lines of ASCII; empty where there is nothing to draw. */
export function lossCurve({ train, heldOut }: CurvePoints, { width: widest = 64, height = 12 } = {}): string {
  const all = [...train, ...heldOut].filter(({ loss }) => Number.isFinite(loss));
  if (all.length < 2) return '';
  const steps = all.map(({ step }) => step);
  const first = steps.reduce((a, b) => Math.min(a, b));
  const last = steps.reduce((a, b) => Math.max(a, b));
  const width = Math.max(2, Math.min(widest, last - first + 1));
  const columnOf = (step: number) => Math.round(((step - first) / Math.max(1, last - first)) * (width - 1));
  const isDrawn = ({ loss }: CurvePoint) => Number.isFinite(loss);
  const series = [
    { mark: '*', means: columnMeans(train.filter(isDrawn), columnOf, width) },
    { mark: 'o', means: columnMeans(heldOut.filter(isDrawn), columnOf, width) },
  ];
  const values = series.flatMap(({ means }) => means).filter((mean) => mean !== undefined);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const rowOf = (loss: number) => Math.round(((high - loss) / (high - low || 1)) * (height - 1));
  const rows = Array.from({ length: height }, () => Array.from({ length: width }, () => ' '));
  for (const { mark, means } of series) {
    means.forEach((mean, column) => {
      if (mean !== undefined) (rows[rowOf(mean)] as string[])[column] = mark;
    });
  }
  const labelOf = (row: number) => (high - ((high - low) * row) / (height - 1)).toFixed(3);
  const drawn = rows.map((row, index) => {
    const isLabelled = index % 3 === 0 || index === height - 1;
    return `${(isLabelled ? labelOf(index) : '').padStart(labelWidth)} |${row.join('')}`.trimEnd();
  });
  const scale = `${' '.repeat(labelWidth + 2)}${String(first)}${String(last).padStart(Math.max(width, 8) - String(first).length)}`;
  return [
    `${' '.repeat(labelWidth + 2)}mean loss:  * training  o held out`,
    ...drawn,
    `${' '.repeat(labelWidth + 1)}+${'-'.repeat(width)}`,
    `${scale}  step`,
  ].join('\n');
}
