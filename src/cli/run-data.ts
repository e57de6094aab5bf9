/** What a run learns from: running text, labelled texts, pairs or images, of the same files each time. */
import { stat } from 'node:fs/promises';
import { Random } from '../base/random.js';
import {
  type ByteSource,
  bytesSource,
  byteTokenizer,
  encodePairs,
  encodeTexts,
  encodeWords,
  type ImageSet,
  type ImageSize,
  joinSources,
  joinTexts,
  type LabelledTexts,
  type SourceOptions,
  type SplitTokens,
  splitCorpus,
  splitItems,
  splitTexts,
  type TaggedText,
  type TextPair,
} from '../data/index.js';
import {
  type OpenSource,
  openFiles,
  openLabelledFolder,
  readImages,
  readLabelledFile,
  readPairs,
  readTaggedFile,
} from '../data/node.js';
import { type Model, modelOf, type Targets, textFrameOf, tokenizerOf } from '../models/index.js';
import { type BatchSize, type Task, type TaskFamily, type TextTaskFamily, taskOfModel } from '../tasks/index.js';
import type { Snapshot } from '../training/index.js';
import { usageError } from './command.js';
import { formatCount } from './format.js';
import { delimiterOf } from './kernel-format.js';
import type { LabelledFlags } from './labelled-flags.js';

export interface RunData {
  /** All that the files hold, by which they are told from others. */
  readonly text: OpenSource;
  /** For tasks on labelled texts. */
  readonly labelled?: LabelledTexts | undefined;
  /** For tasks on pairs of texts. */
  readonly pairs?: readonly TextPair[] | undefined;
  /** For tasks on the words of texts. */
  readonly tagged?: readonly TaggedText[] | undefined;
  /** For tasks on images. */
  readonly images?: ImageSet | undefined;
}

/** The files of a run, for what it learns. Images must have the size of those that a model knows, or of the first of them. */
export async function openRunData(
  files: readonly string[],
  task: TaskFamily,
  columns: LabelledFlags,
  size?: ImageSize,
): Promise<RunData> {
  if (task.data === 'text') return { text: await openFiles(files) };
  if (task.data === 'pairs') {
    const { source, target, delimiter, encoding } = columns;
    const options = {
      source,
      target,
      encoding,
      delimiter: delimiter === undefined ? undefined : delimiterOf(delimiter),
    };
    const pairs: TextPair[] = [];
    for (const file of files) pairs.push(...(await readPairs(file, options)));
    return { text: await openFiles(files), pairs };
  }
  if (task.data === 'words') {
    const delimiter = columns.delimiter === undefined ? undefined : delimiterOf(columns.delimiter);
    const tagged: TaggedText[] = [];
    for (const file of files) tagged.push(...(await readTaggedFile(file, { delimiter })));
    return { text: await openFiles(files), tagged };
  }
  if (task.data === 'images') {
    const images = await readImages(files, size);
    const classes = bytesSource(new TextEncoder().encode(images.texts.targets.join('\n')));
    const { close, ...pixels } = contentOf(images.texts);
    return { text: { ...joinSources([pixels, ...(classes.length > 0 ? [classes] : [])]), close }, images };
  }
  const { text, ...labelled } = await openLabelled(files, task.kind, columns);
  return { text, labelled };
}

/** Files, or folders with a folder for each class, as labelled texts. Throws USAGE and DATA. */
export async function openLabelled(
  paths: readonly string[],
  kind: Targets['kind'],
  { text, label = ['label'], delimiter: typed, encoding, separator }: LabelledFlags,
): Promise<LabelledTexts & { readonly text: OpenSource }> {
  if (kind !== 'values' && label.length > 1)
    throw usageError(`--label: expected one for the ${kind === 'classes' ? 'class' : 'labels'}, got several.`);
  const delimiter = typed === undefined ? undefined : delimiterOf(typed);
  const opened: OpenSource[] = [];
  const all: LabelledTexts[] = [];
  for (const path of paths) {
    const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
    const texts = isFolder
      ? await openLabelledFolder(path)
      : await readLabelledFile(path, { text, label, kind, delimiter, encoding, separator });
    all.push(texts);
    opened.push(isFolder ? contentOf(texts) : await openFiles([path]));
  }
  const close = async () => {
    await Promise.all(opened.map((source) => source.close()));
  };
  return { ...joinTexts(all), text: { ...joinSources(opened), close } };
}

/** The texts one after another. */
function contentOf(texts: LabelledTexts): OpenSource {
  const sources = texts.sizes.map(
    (length, index): ByteSource => ({
      length,
      read: async (offset, count) => (await texts.read(index)).bytes.subarray(offset, offset + count),
    }),
  );
  return { ...joinSources(sources), close: async () => undefined };
}

export interface RunTask {
  readonly task: Task;
  /** What it learns from, in words. */
  readonly told: string;
  /** Of running text. */
  readonly text?: SplitTokens | undefined;
}

/** The task of a run: its model learns from a part of the data, and is measured on the part that is held out. */
export async function runTask(
  { model, training }: Pick<Snapshot, 'model' | 'training'>,
  { text, labelled, pairs = [], tagged = [], images }: RunData,
  options: SourceOptions = {},
): Promise<RunTask> {
  const built = modelOf(model, training);
  const family = taskOfModel(built);
  const tokenizer = family.data === 'images' ? byteTokenizer : tokenizerOf(model);
  const toldOf = (train: number, heldOut: number, unit: string) =>
    `${formatCount(train)} ${unit} to train on, ${formatCount(heldOut)} held out`;
  if (family.data === 'text') {
    const data = await splitCorpus(text, tokenizer, training, options);
    const told = toldOf(data.train.byteLength, data.heldOut.byteLength, 'bytes');
    return { task: family.build(built, training, data), told, text: data };
  }
  const random = Random.fromSeed(training.seed).split('held out');
  const framing = { frame: textFrameOf(model), window: training.window };
  if (family.data === 'pairs') {
    const data = splitItems(encodePairs(pairs, tokenizer, framing), training.heldOut, random);
    return { task: family.build(built, training, data), told: toldOf(data.train.length, data.heldOut.length, 'pairs') };
  }
  if (family.data === 'words') {
    const data = splitItems(encodeWords(tagged, tokenizer, framing.frame), training.heldOut, random);
    return { task: family.build(built, training, data), told: toldOf(data.train.length, data.heldOut.length, 'texts') };
  }
  const examples = images?.texts ?? labelled ?? joinTexts([]);
  const data = splitTexts(await encodeTexts(examples, tokenizer, framing), training.heldOut, random);
  return {
    task: family.build(built, training, data),
    told: toldOf(data.train.length, data.heldOut.length, unitOf(family)),
  };
}

/** What examples of a task are called. */
function unitOf({ data }: TaskFamily): string {
  return data === 'labelled' || data === 'words' ? 'texts' : data;
}

/** The task on all of the data, for evaluation, and how many texts or pairs they are. */
export async function wholeTask(
  family: Exclude<TaskFamily, TextTaskFamily>,
  model: Model,
  size: BatchSize,
  { labelled = joinTexts([]), pairs = [], tagged = [], images }: RunData,
): Promise<{ readonly task: Task; readonly count: number; readonly unit: string }> {
  const tokenizer = family.data === 'images' ? byteTokenizer : tokenizerOf(model.config);
  const framing = { frame: textFrameOf(model.config), window: size.window };
  if (family.data === 'pairs') {
    const all = encodePairs(pairs, tokenizer, framing);
    return { task: family.build(model, size, { train: all, heldOut: all }), count: all.length, unit: 'pairs' };
  }
  if (family.data === 'words') {
    const all = encodeWords(tagged, tokenizer, framing.frame);
    return { task: family.build(model, size, { train: all, heldOut: all }), count: all.length, unit: unitOf(family) };
  }
  const all = await encodeTexts(images?.texts ?? labelled, tokenizer, framing);
  return { task: family.build(model, size, { train: all, heldOut: all }), count: all.length, unit: unitOf(family) };
}
