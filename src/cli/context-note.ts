/** A note where a model does worse on long texts than on windows of its training. */
import { type ContextRecord, contextReach, contextWarning } from '../models/index.js';
import type { Io } from './io.js';

/** Notes from where on the loss on a text that was evaluated is higher, if it is anywhere. */
export function noteRise(io: Io, text: string, context: ContextRecord | undefined): void {
  if (context === undefined || contextReach(context).rise === undefined) return;
  const longest = context.positions.at(-1)?.to ?? 0;
  io.stderr.write(`note: ${contextWarning(context, longest, text)}\n`);
}
