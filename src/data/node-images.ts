/**
 * Images on disk, for Node: IDX files, PNG and JPEG files, and folders of the latter with a folder for each class. All of
 * them are kept in memory, a byte for each value.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { decodeIdx, idxImages, isIdx } from './idx.js';
import { type Image, type ImageSet, type ImageSize, imageSet, type LabelledImage } from './image.js';
import { openRegularFile, readError } from './node-read.js';

/** An image, where it stands, and its class, where one is known. */
export interface PlacedImage extends LabelledImage {
  readonly file: string;
  /** Its number from 1 in a file of many. */
  readonly number?: number | undefined;
}

/**
 * The images of files and folders, in their order. An IDX file of labels has those of the images in the file before it; the
 * folders in a folder are classes, and without any its files have none. Names that begin with a dot are passed over.
 *
 * @throws DATA, with the file, for one that cannot be read, is damaged or no image, and for labels that do not fit.
 */
export async function* imagesOf(paths: readonly string[]): AsyncGenerator<PlacedImage> {
  let waiting: { readonly path: string; readonly images: readonly Image[] } | undefined;
  const placed = (labels?: ArrayLike<number>) =>
    waiting?.images.map((image, at): PlacedImage => {
      const own = { file: waiting?.path ?? '', number: at + 1, image };
      return labels === undefined ? own : { ...own, label: String(labels[at]) };
    }) ?? [];
  for (const path of paths) {
    const where = `read ${path}`;
    if ((await stat(path).catch(() => undefined))?.isDirectory()) {
      yield* placed();
      waiting = undefined;
      yield* imagesBelow(path);
      continue;
    }
    const bytes = await bytesOf(path);
    const idx = isIdx(bytes) ? await decodeIdx(bytes, where) : undefined;
    if (idx?.shape.length === 1) {
      if (waiting?.images.length !== idx.data.length) {
        const expected = waiting === undefined ? 'the file of its images before it' : `${waiting.images.length} labels`;
        throw new PerformerError('DATA', `${where}: expected ${expected}, got ${idx.data.length} labels.`);
      }
      yield* placed(idx.data);
      waiting = undefined;
      continue;
    }
    yield* placed();
    waiting = idx === undefined ? undefined : { path, images: idxImages(idx, where) };
    if (idx === undefined) yield { file: path, image: await decoded(bytes, where) };
  }
  yield* placed();
}

/**
 * The images of files and folders as a set of one size, that of the first image unless it is given. Throws DATA as `imagesOf`,
 * and for an image of another size.
 */
export async function readImages(paths: readonly string[], size?: ImageSize): Promise<ImageSet> {
  const found: PlacedImage[] = [];
  for await (const image of imagesOf(paths)) found.push(image);
  return imageSet(found, (index) => placeInWords(found[index] as PlacedImage), size);
}

/** Where an image stands, in words. */
export function placeInWords({ file, number }: Pick<PlacedImage, 'file' | 'number'>): string {
  return number === undefined ? file : `${file}, image ${number}`;
}

async function* imagesBelow(folder: string, label?: string): AsyncGenerator<PlacedImage> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw readError('DATA', `read ${folder}`, cause);
  });
  const shown = entries.filter(({ name }) => !name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1));
  const isOfClasses = label === undefined && shown.some((entry) => entry.isDirectory());
  if (shown.length === 0) throw new PerformerError('DATA', `read ${folder}: expected images, got an empty folder.`);
  for (const entry of shown) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* imagesBelow(path, label ?? entry.name);
    else if (!isOfClasses) yield { file: path, image: await decoded(await bytesOf(path), `read ${path}`), label };
  }
}

async function bytesOf(path: string): Promise<Uint8Array> {
  const { file } = await openRegularFile('DATA', `read ${path}`, path);
  await file.close();
  return readFile(path).catch((cause: unknown) => {
    throw readError('DATA', `read ${path}`, cause);
  });
}

async function decoded(bytes: Uint8Array, where: string): Promise<Image> {
  const { decodeImage } = await import('./image-codecs.js'); // a text needs none
  return decodeImage(bytes, where);
}
