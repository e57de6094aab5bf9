/**
 * Writes the first images of IDX files as PNG, in a folder for each class where there are labels:
 * node examples/idx-to-png.mjs <folder> <count> <images> [labels]
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodePng } from 'performer-ts/data';
import { readImages } from 'performer-ts/data/node';

const [folder, count, ...files] = process.argv.slice(2);
if (!(Number(count) >= 1) || files.length === 0) {
  console.error('idx-to-png: expected a folder, a count and IDX files. Give them in this order.');
  process.exit(2);
}

const { size, texts } = await readImages(files);
for (let index = 0; index < Math.min(Number(count), texts.length); index++) {
  const { bytes: pixels, target } = await texts.read(index);
  const place = join(folder, target);
  await mkdir(place, { recursive: true });
  await writeFile(join(place, `${String(index + 1).padStart(5, '0')}.png`), encodePng({ ...size, pixels }));
}
