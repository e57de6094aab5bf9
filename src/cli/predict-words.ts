/** `performer predict` on the words of texts: an object for each text as JSON, or a row of CSV for each word. */
import { type WordRecord, wordRecordsOf } from '../data/node.js';
import { createWordPredictor, type LoadedModel, type ToldWords } from '../models/index.js';
import { type Given, usageError } from './command.js';
import { csvLine } from './csv-line.js';
import { rowFormats, type TextVectorOptions } from './embed.js';
import { chooseEngine } from './engine-flags.js';
import type { Io } from './io.js';
import { delimiterOf } from './kernel-format.js';
import type { TextPlace } from './placed-texts.js';
import { formatOf, writeRows } from './text-vectors.js';

type PlacedWords = WordRecord & TextPlace;

export async function predictWords(
  loaded: LoadedModel,
  files: readonly string[],
  { options, flags }: Pick<Given<TextVectorOptions>, 'options' | 'flags'>,
  io: Io,
): Promise<void> {
  const own = ['text', 'encoding'].find((key) => key in flags);
  if (own !== undefined) throw usageError(`--${own}: texts with words do not have it.`);
  const { batch, window } = options;
  const isTable = formatOf(options, rowFormats) === 'csv';
  const predictor = await createWordPredictor(await chooseEngine(options), loaded, { batch, window });
  const rows = {
    unit: 'texts',
    header: isTable ? ['file', 'line', 'word', 'label', 'probability'] : undefined,
    tell: predictor.predict,
    lines: isTable ? tableLines : objectLine,
  };
  try {
    await writeRows(textsOf(files, options), options, rows, io);
  } finally {
    await predictor.dispose();
  }
}

async function* textsOf(
  files: readonly string[],
  { delimiter: typed }: TextVectorOptions,
): AsyncGenerator<PlacedWords> {
  const delimiter = typed === undefined ? undefined : delimiterOf(typed);
  for (const file of files) {
    for await (const record of wordRecordsOf(file, { delimiter })) yield { file, ...record };
  }
}

function tableLines({ file, line, text }: PlacedWords, { words }: ToldWords): string {
  return words
    .map(({ start, end, label, probability }) =>
      csvLine([file, line === undefined ? '' : String(line), text.slice(start, end), label, String(probability)]),
    )
    .join('');
}

/** What can be learned from again. */
function objectLine({ file, line, text }: PlacedWords, { words, spans }: ToldWords): string {
  const tokens = words.map(({ start, end }) => text.slice(start, end));
  const labels = words.map(({ label }) => label);
  return `${JSON.stringify({ file, line, ...(spans && { text, spans }), tokens, labels })}\n`;
}
