/** Time and memory against the length, from the benchmark `scaling`. */
import { type ScalingForm, scalingForms, scalingModes } from '../../bench/scaling-points.js';
import type { MeasuredPoint } from '../bench-rows.js';
import type { Figure, FigureMaker, Table } from '../figure.js';
import { linePlot } from '../plot.js';

const labels: Record<ScalingForm, string> = {
  'favor+': 'FAVOR+',
  exact: 'exact softmax',
  'fused exact': 'exact, fused (ONNX Runtime)',
  none: 'no attention',
};

/** Those of Long Range Arena. */
const tableLengths = [1024, 2048, 3072, 4096];

/** Training steps per second with their ratio to the exact twin, and peak memory: table 2 of Tay et al. 2020. */
export function stepTable(points: readonly MeasuredPoint[]): Table {
  const stepOf = (form: ScalingForm, length: number) =>
    points.find((point) => point.mode === 'training step' && point.form === form && point.length === length);
  const speed = (form: ScalingForm, length: number) => {
    const [step, exact] = [stepOf(form, length), stepOf('exact', length)];
    if (step === undefined) return '–';
    const rate = (1000 / step.milliseconds).toPrecision(3);
    return exact === undefined ? rate : `${rate} (${(exact.milliseconds / step.milliseconds).toFixed(2)}×)`;
  };
  const names = tableLengths.map((length) => length.toLocaleString('en-US'));
  const forms = (['exact', 'favor+', 'none'] as const).filter((form) =>
    tableLengths.some((length) => stepOf(form, length) !== undefined),
  );
  return {
    columns: ['', ...names.map((name) => `steps/s at ${name}`), ...names.map((name) => `GB at ${name}`)],
    rows: forms.map((form) => [
      labels[form],
      ...tableLengths.map((length) => speed(form, length)),
      ...tableLengths.map((length) => stepOf(form, length)?.gigabytes.toFixed(2) ?? '–'),
    ]),
  };
}

export function scalingFigure(points: readonly MeasuredPoint[]): FigureMaker {
  return {
    name: 'scaling',
    async make(): Promise<Figure> {
      const ordered = scalingModes.flatMap((mode) =>
        scalingForms.flatMap((form) => points.filter((point) => point.mode === mode && point.form === form)),
      );
      const rows = ordered.map(({ form, ...point }) => ({ ...point, attention: labels[form] }));
      const drawn = rows.flatMap(({ milliseconds, gigabytes, ...row }) => [
        { ...row, measure: 'seconds', value: milliseconds / 1000 },
        { ...row, measure: 'gigabytes', value: gigabytes },
      ]);
      return {
        name: this.name,
        title: 'Time and memory against the length',
        caption:
          'The whole model (6 layers, dim 512, 8 heads × 64, 256 features, batch 1): the time of a forward pass and of a training ' +
          'step, and the peak memory of the process that made it. Lines end at the longest that fits. A slope of 1 is linear, of 2 ' +
          'quadratic. The table has training steps, with their speed over that of the same model with exact attention.',
        drawing: await linePlot({
          rows: drawn,
          x: { field: 'length', title: 'length (tokens)', isLog: true, format: ',d' },
          y: { field: 'value', title: '', isLog: true },
          series: { field: 'attention', title: 'attention' },
          row: { field: 'measure', title: '' },
          column: { field: 'mode', title: '' },
          width: 340,
          height: 240,
          isIndependent: true,
        }),
        table: stepTable(points),
        rows,
      };
    },
  };
}
