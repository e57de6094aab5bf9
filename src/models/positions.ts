/**
 * How positions enter a model: rotary positions turn queries and keys within attention, and may have the waves of sinusoidal
 * ones beside; the others are vectors, added to the embeddings.
 *
 * - learned: a table with a row for each position;
 * - sinusoidal (Vaswani et al. 2017): fixed waves [sin pθᵢ | cos pθᵢ], θᵢ = 10000^(−2i/dim), for texts of any length, as
 *   large as embeddings at their start;
 * - axial (Kitaev et al. 2020): positions stand in rows of `columns`, and position p has the sum of two learned vectors,
 *   that of its row, ⌊p/columns⌋, and that of its column: rows + columns vectors for rows·columns positions. Where each
 *   place has several channels, as the colours of pixels, ⌊p/channels⌋ stands for p, and a third vector is that of the channel.
 */
import * as z from 'zod';
import type { ParameterSpec } from '../base/layout.js';
import { choice, option } from '../base/options.js';
import { type EmbeddingParams, embed, embeddingLayout, type RotaryAngles, rotaryAngles } from '../blocks/index.js';
import { add, cast, concatenate, divide, multiply, scalar, subtract, type Tensor, where } from '../graph/index.js';

const length = z
  .int()
  .min(1)
  .max(2 ** 24);

const maxLength = option(length, 'the longest text, for learned and axial positions', { fallback: 'none' });

const factor = option(
  z.number().min(1).max(1e6).default(1),
  'how many times as long texts are as those that the model learned',
  { flag: 'rotary-scaling-factor' },
);

const scaling = choice(
  'kind',
  [
    z.strictObject({ kind: z.literal('none') }),
    z.strictObject({ kind: z.literal('linear'), factor }),
    z.strictObject({ kind: z.literal('ntk'), factor }),
    z.strictObject({
      kind: z.literal('llama3'),
      factor,
      originalLength: option(length.default(8192), 'the longest texts that the model learned, of llama3 scaling', {
        flag: 'rotary-original-length',
      }),
      lowFrequency: option(
        z.number().positive().default(1),
        'pairs that turn less often in those texts are slowed by the whole factor',
        { flag: 'rotary-low-frequency' },
      ),
      highFrequency: option(
        z.number().positive().default(4),
        'pairs that turn more often in those texts are not slowed; more than the low frequency',
        { flag: 'rotary-high-frequency' },
      ),
    }),
  ],
  'none',
);

export const rotaryPositions = z.strictObject({
  kind: z.literal('rotary'),
  base: option(z.number().min(1).max(1e12).default(10_000), 'the base of the angles: greater ones turn slower', {
    flag: 'rotary-base',
  }),
  fraction: option(z.number().positive().max(1).default(1), 'the part of each head that turns', {
    flag: 'rotary-fraction',
  }),
  scaling: option(scaling, 'how angles are slowed for longer texts', { flag: 'rotary-scaling' }),
  waves: option(
    z.boolean().optional(),
    'fixed waves from −1 to 1 are added to the embeddings too, as performer-pytorch has it',
    { flag: 'rotary-waves', fallback: 'false' },
  ),
});

export const positionChoice = choice(
  'kind',
  [
    rotaryPositions,
    z.strictObject({ kind: z.literal('learned'), maxLength }),
    z.strictObject({ kind: z.literal('sinusoidal') }),
    z.strictObject({
      kind: z.literal('axial'),
      maxLength,
      columns: option(
        z.int().min(1).default(64),
        'positions in a row of axial positions; it divides the longest text',
        {
          flag: 'axial-columns',
        },
      ),
      channels: option(
        z.int().min(1).default(1),
        'tokens at each place of axial positions, as the colours of a pixel',
        {
          flag: 'axial-channels',
        },
      ),
    }),
    z.strictObject({ kind: z.literal('none') }),
  ],
  'rotary',
);

export type PositionOptions = z.output<typeof positionChoice>;

/** What is learned of positions. */
export interface PositionParams<T = Tensor> {
  /** [maxLength, dim], of learned positions. */
  readonly weight?: T | undefined;
  /** [maxLength/(columns·channels), dim], of axial ones. */
  readonly rows?: EmbeddingParams<T> | undefined;
  /** [columns, dim] */
  readonly columns?: EmbeddingParams<T> | undefined;
  /** [channels, dim]; absent where there is one. */
  readonly channels?: EmbeddingParams<T> | undefined;
}

/** The paths of those parameters in a model. */
export const positionTables = [
  'positions.weight',
  ...['rows', 'columns', 'channels'].map((axis) => `positions.${axis}.weight`),
];

type Problem = readonly [path: readonly string[], message: string];

export function positionProblems(
  positions: PositionOptions,
  {
    dim,
    headDim,
    embeddingDeviation,
  }: { readonly dim: number; readonly headDim: number; readonly embeddingDeviation: number },
): readonly Problem[] {
  if (positions.kind === 'rotary' && positions.scaling.kind === 'llama3') {
    const { lowFrequency, highFrequency } = positions.scaling;
    if (highFrequency <= lowFrequency) {
      return [[['positions', 'scaling', 'highFrequency'], `expected more than ${lowFrequency}, got ${highFrequency}`]];
    }
  }
  if (positions.kind === 'rotary' && headDim % 2 === 1) return [[['headDim'], 'rotary positions need it even']];
  if (waveSize(positions, embeddingDeviation) !== undefined && dim % 2 === 1)
    return [[['dim'], `${positions.kind === 'rotary' ? 'waves' : 'sinusoidal positions'} need it even`]];
  if (positions.kind !== 'axial') return [];
  const { maxLength, columns, channels } = positions;
  if (maxLength % (columns * channels) === 0) return [];
  const got = channels === 1 ? columns : `${columns} times ${channels} channels`;
  return [[['positions', 'columns'], `expected a divisor of maxLength, ${maxLength}, got ${got}`]];
}

/** The longest text that they know; none where positions have no end. */
export function longestOf(positions: PositionOptions): number | undefined {
  return 'maxLength' in positions ? positions.maxLength : undefined;
}

export function positionLayout(
  positions: PositionOptions,
  dim: number,
  deviation: number,
): PositionParams<ParameterSpec> | undefined {
  const table = (count: number) => embeddingLayout(count, dim, deviation);
  if (positions.kind === 'learned') return table(positions.maxLength);
  if (positions.kind !== 'axial') return undefined;
  const { maxLength, columns, channels } = positions;
  return {
    rows: table(maxLength / columns / channels),
    columns: table(columns),
    channels: channels === 1 ? undefined : table(channels),
  };
}

/** The angles of rotary positions at uint32 [batch, length]; undefined for others. */
export function anglesOf(positions: PositionOptions, at: Tensor<'uint32'>, headDim: number): RotaryAngles | undefined {
  return positions.kind === 'rotary' ? rotaryAngles(at, headDim, positions) : undefined;
}

/** The amplitude of fixed waves; undefined where there are none. */
function waveSize(positions: PositionOptions, deviation: number): number | undefined {
  if (positions.kind === 'sinusoidal') return deviation * Math.SQRT2;
  return positions.kind === 'rotary' && positions.waves ? 1 : undefined;
}

interface PlacedTokens {
  /** uint32 [batch, length] */
  readonly at: Tensor<'uint32'>;
  /** False for padding; absent where there is none. */
  readonly mask: Tensor<'bool'> | undefined;
  /** That of the embeddings before training. */
  readonly deviation: number;
}

/** Embeddings [batch, length, dim] with the vectors of their positions, where they are added. */
export function withPositions(
  positions: PositionOptions,
  params: PositionParams | undefined,
  embedded: Tensor,
  { at, mask, deviation }: PlacedTokens,
): Tensor {
  const size = waveSize(positions, deviation);
  if (size !== undefined) {
    const { cosine, sine } = rotaryAngles(at, embedded.staticDim(-1));
    return add(embedded, multiply(concatenate([sine, cosine], -1), size));
  }
  if (params === undefined) return embedded;
  // Padding may reach beyond the table, and nobody sees what it reads; a real token there is an error of the engine.
  const signed = cast(at, 'int32');
  const known = mask === undefined ? signed : where(mask, signed, scalar(0, 'int32'));
  if (positions.kind !== 'axial') return add(embedded, embed(params as EmbeddingParams, known));
  const { rows, columns, channels } = params;
  const [place, channel] = positions.channels === 1 ? [known, known] : divided(known, positions.channels);
  const [row, column] = divided(place, positions.columns);
  const ofPlace = add(embed(rows!, row), embed(columns!, column));
  return add(embedded, channels === undefined ? ofPlace : add(ofPlace, embed(channels, channel)));
}

/** Quotients and remainders. */
function divided(numbers: Tensor<'int32'>, by: number): readonly [Tensor<'int32'>, Tensor<'int32'>] {
  const quotient = divide(numbers, by);
  return [quotient, subtract(numbers, multiply(quotient, by))];
}
