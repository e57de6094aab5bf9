/** The rows that `npm run bench -- --json FILE` writes. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import type { JsonRow } from '../bench/report.js';
import { pointOf, type ScalingPoint } from '../bench/scaling-points.js';
import { messageOf, PerformerError } from '../src/base/errors.js';
import { describeIssues } from '../src/base/options.js';

const schema: z.ZodType<readonly JsonRow[]> = z.array(
  z.strictObject({
    benchmark: z.string(),
    parameters: z.string(),
    opponent: z.string().nullable(),
    ours: z.number().nullable(),
    theirs: z.number().nullable(),
    unit: z.string().nullable(),
    memory: z.number().nullable(),
    spread: z.strictObject({ ours: z.number(), theirs: z.number().nullable() }).nullable(),
    ratio: z.number().nullable(),
    target: z.string().nullable(),
    kind: z.enum(['required', 'stretch']).nullable(),
    met: z.boolean().nullable(),
    text: z.string(),
  }),
);

function unexpected(file: string, got: string): PerformerError {
  return new PerformerError('DATA', `expected ${file} to be what npm run bench -- --json writes, got ${got}.`);
}

/** @throws DATA for a file that cannot be read, or of another kind. */
export async function readBenchRows(file: string): Promise<readonly JsonRow[]> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw unexpected(file, messageOf(cause));
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw unexpected(file, describeIssues(parsed.error));
  return parsed.data;
}

export interface MeasuredPoint extends ScalingPoint {
  readonly milliseconds: number;
  readonly gigabytes: number;
}

/** What the scaling benchmark measured; points that did not fit are not among it. */
export function scalingPoints(rows: readonly JsonRow[]): readonly MeasuredPoint[] {
  return rows.flatMap(({ benchmark, parameters, ours, memory }) => {
    const point = benchmark === 'scaling' ? pointOf(parameters) : undefined;
    return point === undefined || ours === null || memory === null
      ? []
      : [{ ...point, milliseconds: ours, gigabytes: memory }];
  });
}
