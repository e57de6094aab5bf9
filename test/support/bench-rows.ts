/** Rows as `npm run bench -- --json` writes them. */
import { comparison, figure, type JsonRow, jsonRow, type Row } from '../../bench/report.js';
import { pointName, type ScalingPoint } from '../../bench/scaling-points.js';

function pointRow(point: ScalingPoint, time: number, memory: number): JsonRow {
  return jsonRow('scaling', {
    what: pointName(point),
    value: `${time} ms`,
    figures: { ours: time, unit: 'ms', memory },
  });
}

const training = (form: ScalingPoint['form'], length: number) => ({ mode: 'training step', form, length }) as const;

/** Rows of the benchmark `scaling`: exact attention fits at 1,024 and 2,048 alone. */
export const scalingRows = [
  pointRow({ mode: 'forward', form: 'favor+', length: 1024 }, 100, 0.5),
  pointRow({ mode: 'forward', form: 'fused exact', length: 1024 }, 120, 0.6),
  pointRow(training('exact', 1024), 500, 1.5),
  pointRow(training('favor+', 1024), 400, 1.25),
  pointRow(training('exact', 2048), 2000, 2.5),
  pointRow(training('favor+', 2048), 800, 1.75),
  pointRow(training('favor+', 4096), 1600, 2.75),
  jsonRow('scaling', { what: pointName(training('exact', 4096)), value: 'does not fit: needs about 25.0 GB' }),
];

const compared = { what: 'length 4,096', ours: 10, theirs: 30, unit: 'ms', opponent: 'theirs' } as const;
const targetJson = (rows: readonly Row[]) => rows.map((row) => jsonRow('speed', row));
export const rowsWithTargets = targetJson([
  comparison({ ...compared, ratio: 'theirs/ours' }, { atLeast: 2 }),
  comparison({ ...compared, ratio: 'theirs/ours' }, { atLeast: 4, kind: 'stretch' }),
  comparison({ ...compared, ratio: 'ours/theirs' }),
  figure('peak memory', 3, 'GB', { atMost: 2 }),
]);
