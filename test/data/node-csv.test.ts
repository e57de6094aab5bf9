import { mkdtemp, open, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { mostColumns, type Table, type TableRow } from '../../src/data/index.js';
import { type CsvOptions, openCsv } from '../../src/data/node.js';

const folder = await mkdtemp(join(tmpdir(), 'performer-csv-'));
afterAll(() => rm(folder, { recursive: true, force: true }));
let count = 0;

async function tableOf(text: string | Uint8Array, options: Partial<CsvOptions> = {}): Promise<Table> {
  const path = join(folder, `${count++}.csv`);
  await writeFile(path, text);
  return openCsv(path, { header: true, delimiter: ',', ...options });
}

async function rowsOf(table: Table): Promise<TableRow[]> {
  const rows: TableRow[] = [];
  for await (const row of table.rows()) rows.push(row);
  return rows;
}

const fieldsOf = async (table: Table) => (await rowsOf(table)).map(({ fields }) => fields);

describe('a CSV file', () => {
  test.each<[string, string]>([
    ['line feeds', 'a,b\n1,2\n3,4\n'],
    ['carriage returns and line feeds', 'a,b\r\n1,2\r\n3,4\r\n'],
    ['carriage returns', 'a,b\r1,2\r3,4\r'],
    ['no end of the last line', 'a,b\n1,2\n3,4'],
    ['a byte order mark', '\ufeffa,b\n1,2\n3,4\n'],
    ['empty lines', '\na,b\n\n1,2\n\n\n3,4\n\n'],
    ['quotes', '"a","b"\n"1","2"\n3,"4"\n'],
    ['spaces around names', ' a , b\n1,2\n3,4\n'],
  ])('with %s', async (_, text) => {
    const table = await tableOf(text);
    expect(table.columns).toEqual(['a', 'b']);
    expect(await fieldsOf(table)).toEqual([
      ['1', '2'],
      ['3', '4'],
    ]);
  });

  test('keeps commas, quotes and line breaks in quoted fields', async () => {
    const table = await tableOf('name,text\n"Smith, J.","said ""no""\nand left"\nx,y\n');
    expect(await fieldsOf(table)).toEqual([
      ['Smith, J.', 'said "no"\nand left'],
      ['x', 'y'],
    ]);
  });

  test('says in which line a row ends, line breaks in quotes counted', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const table = await tableOf('a,b\n1,2\n\n"3\n4",5\n6,7\n'.replaceAll('\n', end));
      expect((await rowsOf(table)).map(({ line }) => line)).toEqual([2, 5, 6]);
    }
    const mixed = await tableOf('a,b\n1,2\r\n"3\r\n4",5\r\n6,7\n');
    expect((await rowsOf(mixed)).map(({ line }) => line)).toEqual([2, 4, 5]);
  });

  test('has columns called 1, 2, … without a header, and any delimiter', async () => {
    const table = await tableOf('1;2,5;3\n4;5;6\n', { header: false, delimiter: ';' });
    expect(table.columns).toEqual(['1', '2', '3']);
    expect(await fieldsOf(table)).toEqual([
      ['1', '2,5', '3'],
      ['4', '5', '6'],
    ]);
  });

  test('begins anew with each reading', async () => {
    const table = await tableOf('a\n1\n2\n');
    expect(await fieldsOf(table)).toEqual(await fieldsOf(table));
  });

  test('may have a header and nothing else', async () => {
    expect(await fieldsOf(await tableOf('a,b\n'))).toEqual([]);
  });

  test('is read no further than its rows are asked for', async () => {
    const path = join(folder, 'endless.csv');
    const file = await open(path, 'w');
    await file.writeFile('a,b\n1,2\n');
    await file.truncate(2 ** 40); // a terabyte of nothing after the first row
    await file.close();
    const table = await openCsv(path, { header: true, delimiter: ',' });
    for await (const { fields } of table.rows()) {
      expect(fields).toEqual(['1', '2']);
      break;
    }
  });
});

describe('columns without a name', () => {
  test('are called by their position, and told apart from the others', async () => {
    const table = await tableOf(',a, ,b\n0,1,2,3\n');
    expect(table.columns).toEqual(['unnamed-1', 'a', 'unnamed-3', 'b']);
    expect(table.unnamed).toEqual(['unnamed-1', 'unnamed-3']);
    expect((await tableOf('1,2\n', { header: false })).unnamed).toEqual([]);
  });

  test('may not have the name that another column has', async () => {
    await expect(tableOf(',unnamed-1\n')).rejects.toThrow(/"unnamed-1" twice/);
  });
});

describe('a table of one column', () => {
  test('has no empty lines between its rows, which may be values that are missing', async () => {
    await expect(fieldsOf(await tableOf('\na\n1\n\n2\n'))).rejects.toThrow(
      /line 4: expected a value, got an empty line/,
    );
    expect(await fieldsOf(await tableOf('\na\n1\n2\n\n\n'))).toEqual([['1'], ['2']]);
  });

  test.each([
    ['a;b\n1,5;2\n', /--delimiter ";"/],
    ['a\tb\n1,5\t2\n', /--delimiter tab/],
  ])('whose header %j has another delimiter is asked about it', async (text, message) => {
    await expect(fieldsOf(await tableOf(text))).rejects.toThrow(message);
  });
});

describe('a file that changes', () => {
  const path = () => join(folder, `${count++}.csv`);
  const options = { header: true, delimiter: ',' };

  test.each([
    ['is cut', 'a\n1\n'],
    ['is written again at equal length', 'a\n3\n4\n'],
  ])('because it %s after it was opened is an error when it has been read', async (_, text) => {
    const file = path();
    await writeFile(file, 'a\n1\n2\n');
    const table = await openCsv(file, options);
    expect(await fieldsOf(table)).toEqual([['1'], ['2']]);
    await writeFile(file, text);
    await utimes(file, 1, 1);
    await expect(rowsOf(table)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringMatching(/has changed since/),
    });
  });
});

test('there are as many columns as the bound allows, and no more', async () => {
  const header = (columns: number) => Array.from({ length: columns }, (_, at) => `c${at}`).join(',');
  expect((await tableOf(header(mostColumns))).columns.length).toBe(mostColumns);
  await expect(tableOf(header(mostColumns + 1))).rejects.toThrow(/at most 16384 columns, got 16385/);
});

describe('a CSV file that is none is told by its line', () => {
  test.each<[string, string, RegExp]>([
    ['a row too short', 'a,b,c\n1,2,3\n4,5\n', /line 3: expected 3 fields as in the first row, got 2/],
    ['a row too long', 'a,b\n1,2\n3,4,5\n', /line 3: expected 2 fields.*got 3/],
    ['another delimiter', 'a;b\n1,5;2\n', /line 2: expected 1 fields.*delimiter/],
    ['a quote that stays open', 'a,b\n1,"2\n3,4\n', /expected a row of CSV, got a quote that is open/],
    [
      'a quote that stays open, by the line of its row',
      'a,b\n\n"1\n",2\n\n3,"4\n5,6\n7,8\n',
      /line 6: .*open.*field 2/,
    ],
    ['a quote that stays open after CRLF in quotes', 'a,b\r\n"1\r\n",2\r\n3,"4\r\n5,6\r\n', /line 4: .*open/],
    ['a quote in the middle', 'a,b\n1,2"3\n', /line 2: .*quote/],
    ['text after a quote', 'a,b\n1,"2"3\n', /line 2: .*closing quote/],
  ])('%s', async (_, text, message) => {
    const table = await tableOf(text);
    await expect(rowsOf(table)).rejects.toMatchObject({ code: 'DATA', message: expect.stringMatching(message) });
  });

  test.each<[string, string, RegExp]>([
    ['an empty file', '', /expected rows, got an empty file/],
    ['empty lines alone', '\n\n', /empty file/],
    ['a name that occurs twice', 'a,b,a\n', /line 1: .*"a" twice.*no header/],
  ])('%s', async (_, text, message) => {
    await expect(tableOf(text)).rejects.toThrow(message);
  });

  test('a field without an end is not read into memory', async () => {
    const text = new Uint8Array(20_000_000).fill(0x61);
    text.set(new TextEncoder().encode('a\n"'));
    await expect(rowsOf(await tableOf(text))).rejects.toThrow(/more than 16777216 bytes/);
  });

  test('a file that is not there, a folder, a delimiter of two', async () => {
    const options = { header: true, delimiter: ',' };
    await expect(openCsv(join(folder, 'none.csv'), options)).rejects.toThrow(/none\.csv: expected a file/);
    await expect(openCsv(folder, options)).rejects.toThrow(/directory/);
    await expect(tableOf('a\n', { delimiter: '::' })).rejects.toMatchObject({ code: 'CONFIG' });
  });
});
