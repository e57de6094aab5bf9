/** Plots by Vega-Lite, as SVG that stands alone and reads in print. */
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** Colours that are told apart in print and by colour-blind readers (Okabe & Ito 2008, and greys). */
const colours = [
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#000000',
  '#999999',
  '#8C510A',
  '#5E3C99',
];

/** Seven, so that with ten colours no two of seventy lines look alike. */
const dashes = [
  [1, 0],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [1, 3],
  [12, 4],
  [8, 3, 2, 3, 2, 3],
];

const config = {
  font: 'Helvetica, Arial, sans-serif',
  background: 'white',
  axis: { labelFontSize: 11, titleFontSize: 12, grid: true, gridColor: '#e4e4e4' },
  legend: {
    labelFontSize: 11,
    titleFontSize: 12,
    labelLimit: 260,
    symbolType: 'stroke',
    symbolStrokeWidth: 2,
    symbolSize: 400,
  },
  header: { labelFontSize: 12, titleFontSize: 12 },
  range: { category: colours },
  view: { stroke: '#bbbbbb' },
};

export interface LinePlot {
  readonly rows: readonly object[];
  readonly x: {
    readonly field: string;
    readonly title: string;
    readonly isLog?: boolean;
    /** As d3-format has it; 1,200 is 1.2k unless given. */
    readonly format?: string;
  };
  readonly y: { readonly field: string; readonly title: string; readonly isLog?: boolean };
  /** Each panel has a y axis of its own. */
  readonly isIndependent?: boolean;
  /** The field that tells the lines apart. */
  readonly series: { readonly field: string; readonly title: string };
  /** The field of points beside the line, which then has none of its own. */
  readonly measured?: string;
  /** The fields of the ends of an error bar. */
  readonly interval?: { readonly low: string; readonly high: string };
  /** A panel for each value of these fields. */
  readonly row?: { readonly field: string; readonly title: string };
  readonly column?: { readonly field: string; readonly title: string };
  readonly width?: number;
  readonly height?: number;
  /** Only lines, for curves of many points. */
  readonly isDense?: boolean;
}

function scaleOf(isLog: boolean | undefined) {
  return isLog ? { type: 'log' as const, nice: false, padding: 12 } : { zero: false };
}

function axisOf(isLog: boolean | undefined) {
  return isLog ? { format: '~g', tickCount: 6 } : { format: '~g' };
}

/** Values in order of appearance, which legends and panels keep. */
function domainOf(rows: readonly object[], field: string): unknown[] {
  return [...new Set(rows.map((row) => (row as Record<string, unknown>)[field]))];
}

type Panels = Pick<LinePlot, 'rows' | 'row' | 'column' | 'isIndependent'>;

/** The unit in a panel for each value of the fields, or alone. */
function inPanels({ rows, row, column, isIndependent = false }: Panels, unit: object): TopLevelSpec {
  const data = { values: [...rows] };
  const panel = ({ field, title }: { field: string; title: string }) => ({
    field,
    title: title === '' ? null : title,
    type: 'nominal',
    sort: domainOf(rows, field),
  });
  if (row === undefined && column === undefined) return { data, ...unit } as TopLevelSpec;
  const facet = {
    ...(row === undefined ? {} : { row: panel(row) }),
    ...(column === undefined ? {} : { column: panel(column) }),
  };
  const resolve = isIndependent ? { resolve: { scale: { y: 'independent' } } } : {};
  return { data, facet, spec: unit, ...resolve } as TopLevelSpec;
}

export async function linePlot(plot: LinePlot): Promise<string> {
  const { rows, x, y, series, measured, interval, width = 380, height = 280, isDense = false } = plot;
  const domain = domainOf(rows, series.field) as string[];
  const color = { field: series.field, type: 'nominal', title: series.title, scale: { domain }, sort: domain };
  const dash = { ...color, scale: { domain, range: domain.map((_, at) => dashes[at % dashes.length]) } };
  // On a logarithmic axis the values themselves are marked: numbers of features, mostly powers of two.
  const ticks = x.isLog ? { values: domainOf(rows, x.field), labelOverlap: true } : { tickCount: 6 };
  const along = {
    field: x.field,
    type: 'quantitative',
    title: x.title,
    scale: scaleOf(x.isLog),
    axis: { format: x.format ?? '~s', ...ticks },
  };
  const up = {
    field: y.field,
    type: 'quantitative',
    title: y.title || null,
    scale: scaleOf(y.isLog),
    axis: axisOf(y.isLog),
  };
  const line = {
    mark: {
      type: 'line',
      point: isDense || measured !== undefined ? false : { size: 30, filled: true },
      strokeWidth: 1.8,
    },
    encoding: { x: along, y: up, color, strokeDash: dash },
  };
  const bars =
    interval === undefined
      ? []
      : [
          {
            mark: { type: 'rule', opacity: 0.6 },
            encoding: { x: along, y: { ...up, field: interval.low }, y2: { field: interval.high }, color },
          },
        ];
  const points =
    measured === undefined
      ? []
      : [
          {
            mark: { type: 'point', filled: true, size: 36, opacity: 0.9 },
            encoding: { x: along, y: { ...up, field: measured }, color },
          },
        ];
  return svgOf(inPanels(plot, { width, height, layer: [...bars, line, ...points] }));
}

export interface BarPlot extends Pick<LinePlot, 'rows' | 'row' | 'column' | 'width'> {
  /** The field of the bars' names, and how wide one may be; 240 unless given. Widths are estimated, and real ones are smaller. */
  readonly name: { readonly field: string; readonly title: string; readonly limit?: number };
  readonly x: { readonly field: string; readonly title: string; readonly isLog?: boolean };
  /** The field of the bars that stand beside each other, and its values where those of the rows may not be all. */
  readonly series?: { readonly field: string; readonly title: string; readonly domain?: readonly string[] };
  /** Where a line is drawn across. */
  readonly rule?: number;
}

/** Horizontal marks for each name: points on a logarithmic axis, bars on a linear one. */
export async function barPlot(plot: BarPlot): Promise<string> {
  const { rows, name, x, series, rule, width = 320 } = plot;
  const names = domainOf(rows, name.field) as string[];
  const domain = series && (series.domain ?? (domainOf(rows, series.field) as string[]));
  const color = series && {
    field: series.field,
    type: 'nominal',
    title: series.title,
    scale: { domain },
    sort: domain,
    ...(x.isLog ? { legend: { symbolSize: 80 } } : {}),
  };
  const marks = {
    mark: x.isLog ? { type: 'point', filled: false, size: 60, strokeWidth: 1.8 } : { type: 'bar' },
    encoding: {
      y: {
        field: name.field,
        type: 'nominal',
        title: name.title || null,
        sort: names,
        axis: { labelLimit: name.limit ?? 240, grid: true },
      },
      x: {
        field: x.field,
        type: 'quantitative',
        title: x.title,
        scale: x.isLog ? scaleOf(true) : { zero: true },
        axis: axisOf(x.isLog),
      },
      ...(color === undefined ? {} : { color, shape: color }),
    },
  };
  const across = { mark: { type: 'rule', strokeDash: [4, 3] }, encoding: { x: { datum: rule } } };
  const unit = rule === undefined ? marks : { layer: [across, marks] };
  return svgOf(inPanels(plot, { width, height: { step: 20 }, ...unit }));
}

async function svgOf(spec: TopLevelSpec): Promise<string> {
  const { spec: compiled } = compile({ ...spec, config } as TopLevelSpec);
  const view = new View(parse(compiled), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
