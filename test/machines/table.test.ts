/** Tables as samples: which columns are inputs, and what is a number. */
import { describe, expect, test } from 'vitest';
import { mostColumns, type Table, type TableRow } from '../../src/data/index.js';
import { type SampleBatch, type TableChoice, tableSamples } from '../../src/machines/index.js';

function tableOf(columns: readonly string[], rows: readonly (readonly string[])[], unnamed?: readonly string[]): Table {
  return {
    name: 'test',
    columns,
    unnamed,
    async *rows() {
      for (const [at, fields] of rows.entries()) yield { line: at + 2, fields } satisfies TableRow;
    },
  };
}

const format = { header: true, delimiter: ',' };

async function batchesOf(table: Table, choice: Partial<TableChoice> = {}): Promise<SampleBatch[]> {
  const { samples } = tableSamples(table, { task: 'regression', targets: ['y'], ignore: [], ...choice }, format);
  const batches: SampleBatch[] = [];
  for await (const batch of samples) batches.push(batch);
  return batches;
}

describe('the inputs of a table', () => {
  const table = tableOf(['unnamed-1', 'a', 'y'], [['7', '1', '2']], ['unnamed-1']);

  test('are its columns but for targets and those without a name', async () => {
    const [batch] = await batchesOf(table);
    expect([...batch!.inputs.data]).toEqual([1]);
  });

  test('may be predicted from where the target has no name', async () => {
    const [batch] = await batchesOf(table, { targets: ['unnamed-1'] });
    expect([...batch!.inputs.data]).toEqual([1, 2]);
    expect([...batch!.targets.data]).toEqual([7]);
  });

  test.each([[{ targets: ['y', 'y'] }], [{ ignore: ['a', 'a'] }], [{ ignore: ['y'] }]])(
    'are named once: %j is refused',
    async (choice) => {
      await expect(batchesOf(table, choice)).rejects.toMatchObject({
        code: 'CONFIG',
        message: expect.stringMatching(/once/),
      });
    },
  );

  test('come in batches of few rows where there are many columns', async () => {
    const columns = Array.from({ length: mostColumns }, (_, at) => (at === 0 ? 'y' : `c${at}`));
    const row = columns.map(() => '1');
    const batches = await batchesOf(
      tableOf(
        columns,
        Array.from({ length: 100 }, () => row),
      ),
    );
    expect(batches.map(({ inputs }) => inputs.shape[0])).toEqual([64, 36]);
  });
});

describe('a field', () => {
  test.each([['1'], [' -2.5e3 '], ['+.5'], ['7.'], ['1E-4']])('%j is a number', async (text) => {
    const [batch] = await batchesOf(tableOf(['a', 'y'], [[text, '0']]));
    expect([...batch!.inputs.data]).toEqual([Number(text)]);
  });

  test.each([['0x1f'], ['0b1'], ['0o7'], ['1_000'], ['1,5'], ['Infinity'], ['1e999'], ['']])(
    '%j is none',
    async (text) => {
      await expect(batchesOf(tableOf(['a', 'y'], [[text, '0']]))).rejects.toThrow(
        /line 2: expected a number in column "a"/,
      );
    },
  );
});
