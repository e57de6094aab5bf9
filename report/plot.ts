/** Plots by Vega-Lite, as SVG that stands alone and reads in print. */
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** Eight colours of which no two look alike, in print or to colour-blind readers (after Okabe & Ito 2008). */
const colours = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#000000', '#999999', '#8C510A'];

/** Seven, so that with eight colours no two of 56 lines look alike. */
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

/** A figure for a page, and for a phone: panels below each other and the legend under them, so that labels stay as large. */
export interface Drawing {
  readonly svg: string;
  readonly narrow: string;
}

/** Pixels of a panel on a phone, and of the names beside it where it has any. */
const narrowWidth = 270;
const narrowNames = 175;

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
  readonly isIndependent?: boolean | undefined;
  /** The field that tells the lines apart. */
  readonly series: { readonly field: string; readonly title: string };
  /** The field of points beside the line, which then has none of its own. */
  readonly measured?: string;
  /** The fields of the ends of an error bar. */
  readonly interval?: { readonly low: string; readonly high: string };
  /** A panel for each value of these fields. */
  readonly row?: { readonly field: string; readonly title: string };
  readonly column?: { readonly field: string; readonly title: string };
  /** A panel for each value of a field, so many in a line. */
  readonly wrap?: { readonly field: string; readonly columns: number };
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

type Panels = Pick<LinePlot, 'rows' | 'row' | 'column' | 'wrap' | 'isIndependent'>;

/** The unit in a panel for each value of the fields, or alone. */
function inPanels({ rows, row, column, wrap, isIndependent = false }: Panels, unit: object): TopLevelSpec {
  const data = { values: [...rows] };
  const panel = (field: string, title = '') => ({
    field,
    title: title === '' ? null : title,
    type: 'nominal',
    sort: domainOf(rows, field),
  });
  const isStacked = wrap?.columns === 1;
  const axis = { ...(wrap === undefined ? {} : { x: 'independent' }), ...(isStacked ? { y: 'independent' } : {}) };
  const resolve = { scale: isIndependent ? { y: 'independent' } : {}, axis };
  if (wrap !== undefined) {
    return { data, facet: panel(wrap.field), columns: wrap.columns, spec: unit, resolve } as TopLevelSpec;
  }
  if (row === undefined && column === undefined) return { data, ...unit } as TopLevelSpec;
  const facet = {
    ...(row === undefined ? {} : { row: panel(row.field, row.title) }),
    ...(column === undefined ? {} : { column: panel(column.field, column.title) }),
  };
  return { data, facet, spec: unit, resolve } as TopLevelSpec;
}

/** The same panels below each other. */
function stacked({ rows, row, column, wrap, isIndependent }: Panels): Panels {
  const fields = [row, column, wrap].flatMap((each) => (each === undefined ? [] : [each.field]));
  if (fields.length === 0) return { rows, isIndependent };
  const named = rows.map((values) => ({
    ...values,
    panel: fields.map((field) => (values as Record<string, unknown>)[field]).join(', '),
  }));
  return { rows: named, wrap: { field: 'panel', columns: 1 }, isIndependent };
}

export async function linePlot(plot: LinePlot): Promise<Drawing> {
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
  const layer = [...bars, line, ...points];
  return {
    svg: await svgOf(inPanels(plot, { width, height, layer })),
    narrow: await svgOf(inPanels(stacked(plot), { width: narrowWidth, height: 200, layer }), domain),
  };
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
export async function barPlot(plot: BarPlot): Promise<Drawing> {
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
  const marksOf = (limit: number) => ({
    mark: x.isLog ? { type: 'point', filled: false, size: 60, strokeWidth: 1.8 } : { type: 'bar' },
    encoding: {
      y: {
        field: name.field,
        type: 'nominal',
        title: name.title || null,
        sort: names,
        axis: { labelLimit: limit, grid: true },
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
  });
  const across = { mark: { type: 'rule', strokeDash: [4, 3] }, encoding: { x: { datum: rule } } };
  const unit = (limit: number, size: number) => ({
    width: size,
    height: { step: 20 },
    ...(rule === undefined ? marksOf(limit) : { layer: [across, marksOf(limit)] }),
  });
  return {
    svg: await svgOf(inPanels(plot, unit(name.limit ?? 240, width))),
    narrow: await svgOf(inPanels(stacked(plot), unit(narrowNames, narrowWidth - narrowNames + 80)), domain ?? []),
  };
}

/** The legend of a phone is below, in two columns where its labels are short. */
function legendBelow(labels: readonly string[]) {
  const columns = labels.every((label) => label.length <= 16) ? 2 : 1;
  return { ...config.legend, orient: 'bottom', columns, symbolSize: 250 };
}

async function svgOf(spec: TopLevelSpec, narrowLabels?: readonly string[]): Promise<string> {
  const legend = narrowLabels === undefined ? config.legend : legendBelow(narrowLabels);
  const { spec: compiled } = compile({ ...spec, config: { ...config, legend } } as TopLevelSpec);
  const view = new View(parse(compiled), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
