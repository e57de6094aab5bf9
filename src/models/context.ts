/**
 * What an evaluation has shown of how much context a model can use: its losses by position, and up to which length of a text
 * they are good. It stands in context.json of a model folder, bound to the weights that were evaluated.
 *
 * A position is good where the loss is at most 0.05 nats a token above that at the end of a window of the training. As some
 * parts of a text are harder than others, the loss of one long stream is compared with that of the same tokens in windows.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import { meanLoss, type OctaveLoss } from './octaves.js';

/** The file of a model folder that says how far the model was shown to read well. */
export const contextFile = 'context.json';

/** The loss at the positions of one octave, beside that at the end of a window of the training. */
export interface ContextLoss extends OctaveLoss {
  /** How far the loss is above what the same tokens have at the end of a window of the training; nats a token. */
  readonly excess: number;
}

/** Losses by position of a model. */
export interface ContextRecord {
  /** Tokens of a window of the training. */
  readonly window: number;
  /** In rising order, from position 1 to the longest that was evaluated. */
  readonly positions: readonly ContextLoss[];
}

/** The losses of windows that were each read on their own. */
export interface WindowLosses {
  /** By the position in a window. */
  readonly byPosition: readonly OctaveLoss[];
  /** The same targets by their position in the whole text. */
  readonly byPlace: readonly OctaveLoss[];
}

/** The largest excess of a position that is good: nats a token. */
export const goodExcess = 0.05;

/** With fewer targets the mean loss of an octave says nothing of hundredths of a nat. */
const leastTargets = 500;

/**
 * What the losses of windows, and of the same text as one stream where the model can be read so, tell of positions.
 *
 * @param window tokens of a window of the training; the windows that were read may be longer.
 */
export function contextRecord(
  window: number,
  { byPosition, byPlace }: WindowLosses,
  stream?: readonly OctaveLoss[],
): ContextRecord {
  const end = endLoss(byPosition, window);
  if (stream === undefined) {
    return { window, positions: byPosition.map((octave) => ({ ...octave, excess: octave.loss - end })) };
  }
  const above = meanLoss(byPosition) - end;
  const positions = stream.map((octave, index) => ({
    ...octave,
    excess: octave.loss - ((byPlace[index] as OctaveLoss).loss - above),
  }));
  return { window, positions };
}

/** The mean loss in the second half of a window of the training, or what was read of it. */
function endLoss(byPosition: readonly OctaveLoss[], window: number): number {
  const last = Math.min(window, byPosition.at(-1)?.to ?? 1);
  return meanLoss(byPosition.filter(({ to }) => to > last / 2 && to <= last));
}

/** How long texts may be. */
export interface ContextReach {
  /** The longest text, in tokens, whose positions are all shown to be good. */
  readonly good: number;
  /** The first positions that are shown not to be; absent where the evaluation ended before there were such. */
  readonly rise?: Pick<ContextLoss, 'from' | 'to' | 'excess'> | undefined;
}

/** Up to which length a record shows texts to be good. Octaves of few targets are taken together with the next ones. */
export function contextReach({ window, positions }: ContextRecord): ContextReach {
  let good = window;
  let group: ContextLoss[] = [];
  for (const octave of positions) {
    if (octave.to <= window) continue;
    group.push(octave);
    if (group.reduce((sum, { targets }) => sum + targets, 0) < leastTargets) continue;
    const excess = meanLoss(group.map(({ targets, excess }) => ({ targets, loss: excess })));
    const [{ from }] = group as [ContextLoss];
    if (excess > goodExcess) return { good, rise: { from: Math.max(from, window + 1), to: octave.to, excess } };
    good = octave.to;
    group = [];
  }
  return { good };
}

/** What is to be said of a text of so many tokens; undefined where the record shows its length to be good. */
export function contextWarning(record: ContextRecord, length: number, text = 'The text'): string | undefined {
  const { good, rise } = contextReach(record);
  if (length <= good) return undefined;
  const told = (count: number) => count.toLocaleString('en-US');
  const shown = `${text} has up to ${told(length)} tokens, and the model is shown to be good up to ${told(good)}`;
  if (rise === undefined) {
    return `${shown}, where its evaluation ended. Evaluate it on a longer text and record that, or keep texts shorter.`;
  }
  const { from, to, excess } = rise;
  return (
    `${shown}: from ${told(from)} to ${told(to)} its loss is ${excess.toFixed(2)} nats a token above that at the end of ` +
    `the windows of ${told(record.window)} that it was trained on. Keep texts shorter, or train it on longer windows or ` +
    'with carried states.'
  );
}

const count = z.int().min(1);
const schema = z.strictObject({
  version: z.literal(1),
  /** The SHA-256 that model.safetensors keeps. */
  weights: z.string(),
  window: count,
  positions: z
    .array(z.strictObject({ from: count, to: count, targets: count, loss: z.number(), excess: z.number() }))
    .readonly(),
});

/** The content of context.json for weights with this digest. */
export function contextJson(record: ContextRecord, weights: string): unknown {
  return { version: 1, weights, ...record } satisfies z.input<typeof schema>;
}

/** The record of a context.json; undefined where it is of other weights than those with this digest. Throws CHECKPOINT. */
export function contextOf(where: string, content: unknown, weights: string | undefined): ContextRecord | undefined {
  const parsed = schema.safeParse(content);
  if (!parsed.success) {
    const got = describeIssues(parsed.error);
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected losses by position of version 1, got ${got}. Remove it.`,
    );
  }
  const { version, weights: own, ...record } = parsed.data;
  return own === weights ? record : undefined;
}
