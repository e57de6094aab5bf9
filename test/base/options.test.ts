/** Options that are declared once: what a schema takes, fills in and refuses, and what it tells of its options. */
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { PerformerError } from '../../src/base/index.js';
import { choice, flagName, option, optionFields, parseOptions } from '../../src/base/options.js';

const size = option(z.int().min(1).max(64), 'how large it is', { fallback: 'from the preset' });
const round = z.strictObject({
  kind: z.literal('round'),
  radius: option(z.number().positive().default(2), 'from the middle'),
  colour: option(z.enum(['red', 'blue']).default('red'), 'of the line'),
});
const square = z.strictObject({
  kind: z.literal('square'),
  colour: option(z.enum(['red', 'blue']).default('blue'), 'of the line'),
});
const plain = z.strictObject({ kind: z.literal('plain') });
const schema = z.strictObject({
  size,
  isOpen: option(z.boolean().default(false), 'whether it ends', { flag: 'open' }),
  form: option(choice('kind', [round, square, plain], 'round'), 'its form', { flag: 'form' }),
});

const parsed = (options: unknown) => parseOptions('here', schema, options);

describe('options', () => {
  test('are filled in with their defaults', () => {
    expect(parsed({ size: 3 })).toEqual({
      size: 3,
      isOpen: false,
      form: { kind: 'round', radius: 2, colour: 'red' },
    });
  });

  test('that are unknown, missing or out of range are all named, by their paths', () => {
    expect(() => parsed({ size: 65, shape: 1 })).toThrow(PerformerError);
    expect(() => parsed({ size: 65, shape: 1 })).toThrow(
      /^here: expected valid options, got .*size: .*64, got 65.*"shape"/,
    );
    expect(() => parsed({})).toThrow(/size: /);
    expect(() => parsed({ size: 1, form: { kind: 'square', radius: 1 } })).toThrow(/form: .*"radius"/);
    expect(() => parsed({ size: 1, form: { radius: -1, colour: 'green' } })).toThrow(
      /form\.radius: .*got -1; form\.colour: /,
    );
  });
});

describe('a choice', () => {
  const formOf = (form: unknown) => parsed({ size: 1, form }).form;

  test('is given by a bare name, by options with it, or by options of the default alone', () => {
    expect(formOf('plain')).toEqual({ kind: 'plain' });
    expect(formOf({ kind: 'square' })).toEqual({ kind: 'square', colour: 'blue' });
    expect(formOf({ radius: 5 })).toEqual({ kind: 'round', radius: 5, colour: 'red' });
    expect(formOf(undefined)).toEqual(formOf('round'));
  });

  test.each([
    ['hollow', /form\.kind: expected one of round, square, plain, got "hollow"/],
    [{ kind: 7 }, /form\.kind: expected one of round, square, plain, got 7/],
    [3, /form: expected a name or an object, got 3/],
    [null, /form: expected a name or an object, got null/],
    [['round'], /form: expected a name or an object, got \["round"\]/],
  ])('of %j is refused', (form, message) => {
    expect(() => formOf(form)).toThrow(message);
  });

  test('has the variants that its registry has when it is used', () => {
    const variants = [plain as z.ZodObject];
    const growing = z.strictObject({
      form: option(
        choice('kind', () => variants, 'plain' as never),
        'its form',
      ),
    });
    const given = () => parseOptions('here', growing, { form: 'late' }).form;
    expect(given).toThrow(/expected one of plain, got "late"/);
    variants.push(z.strictObject({ kind: z.literal('late'), hour: option(z.int().default(5), 'when') }));
    expect(given()).toEqual({ kind: 'late', hour: 5 });
    expect(optionFields(growing).map(({ path }) => path.join('.'))).toEqual(['form.kind', 'form.hour']);
  });
});

describe('the fields of a schema', () => {
  const fields = new Map(optionFields(schema).map((field) => [field.path.join('.'), field]));

  test('are every option once, however deep it stands', () => {
    expect([...fields.keys()]).toEqual(['size', 'isOpen', 'form.kind', 'form.radius', 'form.colour']);
  });

  test('have flags, kinds, choices, help and defaults', () => {
    expect(fields.get('size')).toMatchObject({
      flag: 'size',
      kind: 'number',
      text: 'how large it is',
      fallback: 'from the preset',
    });
    expect(fields.get('isOpen')).toMatchObject({ flag: 'open', kind: 'boolean', fallback: 'false' });
    expect(fields.get('form.kind')).toMatchObject({
      ...{ flag: 'form', kind: 'choice', fallback: 'round', text: 'its form' },
      choices: ['round', 'square', 'plain'],
    });
    expect(fields.get('form.colour')).toMatchObject({ flag: 'colour', kind: 'choice', choices: ['red', 'blue'] });
    expect(flagName('feedForwardMultiplier')).toBe('feed-forward-multiplier');
  });

  test('say which variants have them', () => {
    expect(fields.get('size')?.variants).toEqual([]);
    expect(fields.get('form.kind')?.variants).toEqual([]);
    expect(fields.get('form.radius')?.variants).toEqual([{ path: ['form', 'kind'], names: ['round'] }]);
    expect(fields.get('form.colour')?.variants).toEqual([{ path: ['form', 'kind'], names: ['round', 'square'] }]);
  });

  test('say what is wrong with a value alone', () => {
    expect(fields.get('size')?.problemOf(64)).toBeUndefined();
    expect(fields.get('size')?.problemOf(65)).toMatch(/64/);
    expect(fields.get('form.kind')?.problemOf('plain')).toBeUndefined();
    expect(fields.get('form.kind')?.problemOf('hollow')).toBe('expected one of round, square, plain');
  });
});
