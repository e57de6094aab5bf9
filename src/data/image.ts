/** Images in memory: their size, their pixels, and the class of each. */
import { PerformerError } from '../base/errors.js';
import { type LabelledTexts, labelledTexts } from './labelled.js';

/** How large an image is, and whether it is grey (1 channel) or RGB (3). */
export interface ImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3;
}

/** An image of values from 0 to 255. */
export interface Image extends ImageSize {
  /** [height, width, channels], row by row: the colours of a pixel stand side by side. */
  readonly pixels: Uint8Array;
}

/** An image with the name of its class. */
export interface LabelledImage {
  readonly image: Image;
  /** Absent where no class is known. */
  readonly label?: string | undefined;
}

/** Images of one size. */
export interface ImageSet {
  readonly size: ImageSize;
  /** The pixels of each image as the bytes of a text, and its class; an empty one where none is known. */
  readonly texts: LabelledTexts;
}

/** How many values an image has. */
export function valueCount({ height, width, channels }: ImageSize): number {
  return height * width * channels;
}

/** A size in words: `28×28 grey`. */
export function sizeInWords({ height, width, channels }: ImageSize): string {
  return `${height}×${width} ${channels === 1 ? 'grey' : 'RGB'}`;
}

/** Throws DATA unless an image has this size, and as many values as that says. */
export function expectSize(where: string, image: Image, size: ImageSize): void {
  const [expected, got] = [sizeInWords(size), sizeInWords(image)];
  if (expected !== got) {
    throw new PerformerError('DATA', `${where}: expected an image of ${expected}, got one of ${got}.`);
  }
  if (image.pixels.length === valueCount(size)) return;
  throw new PerformerError(
    'DATA',
    `${where}: expected ${valueCount(size)} values of an image of ${expected}, got ${image.pixels.length}.`,
  );
}

/**
 * Images of one size as a set; pixels are kept and not copied.
 *
 * @param whereOf What an error says of an image by its number, such as its file.
 * @param expected That of the first image unless given.
 * @throws DATA for no images, for those of another size, and where some have a class and others none.
 */
export function imageSet(
  given: readonly LabelledImage[],
  whereOf: (index: number) => string = (index) => `image ${index}`,
  expected?: ImageSize,
): ImageSet {
  const [first] = given;
  if (first === undefined) throw new PerformerError('DATA', 'imageSet: expected images, got none.');
  const { height, width, channels } = expected ?? first.image;
  const size = { height, width, channels };
  const texts = given.map(({ image, label }, index) => {
    expectSize(whereOf(index), image, size);
    if ((label === undefined) === (first.label === undefined)) return { text: image.pixels, target: label ?? '' };
    const [expected, got] = first.label === undefined ? ['no class', 'one'] : ['a class', 'none'];
    throw new PerformerError('DATA', `${whereOf(index)}: expected ${expected}, as the first image has, got ${got}.`);
  });
  return { size, texts: labelledTexts(texts, 'imageSet') };
}

/** Pixels between two images of a sheet. */
const gap = 2;

/** Images of one size in rows of about as many as there are rows, with two white pixels between; one image is itself. */
export function sheetOf(images: readonly Image[]): Image {
  const [first] = images;
  if (first === undefined) throw new PerformerError('DATA', 'sheetOf: expected images, got none.');
  const { height, width, channels } = first;
  const columns = Math.ceil(Math.sqrt(images.length));
  const size = {
    height: Math.ceil(images.length / columns) * (height + gap) - gap,
    width: columns * (width + gap) - gap,
    channels,
  };
  const pixels = new Uint8Array(valueCount(size)).fill(255);
  images.forEach((image, index) => {
    expectSize(`sheetOf, image ${index}`, image, first);
    const [top, left] = [Math.floor(index / columns) * (height + gap), (index % columns) * (width + gap)];
    for (let row = 0; row < height; row++) {
      const line = image.pixels.subarray(row * width * channels, (row + 1) * width * channels);
      pixels.set(line, ((top + row) * size.width + left) * channels);
    }
  });
  return { ...size, pixels };
}
