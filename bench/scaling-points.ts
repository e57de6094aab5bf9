/** The points of the scaling benchmark, and how a row names one. */

export const scalingForms = ['favor+', 'exact', 'fused exact', 'none'] as const;
export type ScalingForm = (typeof scalingForms)[number];

export const scalingModes = ['forward', 'training step'] as const;
export type ScalingMode = (typeof scalingModes)[number];

export interface ScalingPoint {
  readonly mode: ScalingMode;
  readonly form: ScalingForm;
  readonly length: number;
}

export function pointName({ mode, form, length }: ScalingPoint): string {
  return `${mode}, ${form}, length ${length}`;
}

/** The point of a row's name; undefined where it names none. */
export function pointOf(name: string): ScalingPoint | undefined {
  const [, mode, form, length] = /^(.+), (.+), length (\d+)$/.exec(name) ?? [];
  const point = { mode, form, length: Number(length) } as ScalingPoint;
  return scalingModes.includes(point.mode) && scalingForms.includes(point.form) ? point : undefined;
}
