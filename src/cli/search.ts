/** `performer search`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { inferenceFlags, inferenceSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';

const ownSchema = z.strictObject({
  topK: option(
    z
      .int()
      .min(1)
      .max(2 ** 16)
      .default(5),
    'texts that are told of at most, the nearest first',
  ),
  json: option(z.literal(true).optional(), 'print an object as JSON for each query'),
});
const searchSchema = z.strictObject({ ...ownSchema.shape, ...inferenceSchema.shape });
export type SearchOptions = z.output<typeof searchSchema>;

export const searchCommand: CommandWords<typeof searchSchema> = {
  arguments: [
    { name: '<folder>', text: 'the folder of the model that made the index' },
    { name: '<index>', text: 'what performer embed --index wrote' },
    { name: '[query]', text: 'what to look for; unless given, each line of standard input is a query' },
  ],
  options: searchSchema,
  flags: [...flagsOf('Search:', ownSchema), ...inferenceFlags],
  notes: `Every vector of the index is compared with that of the query by cosine similarity, from -1 to 1. Each text is told with its
place: the file, the line, and as JSON the part of the text that was found, from start to end in UTF-16 code units.

Examples:
  performer embed models/minilm "docs/**/*.md" --index docs.index
  performer search models/minilm docs.index "how do I export a model?"
  performer search models/minilm docs.index --top-k 1 --json < questions.txt`,
};
