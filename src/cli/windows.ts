/** Lengths of windows as they are typed: `256,1024`. */
import * as z from 'zod';
import { parseNumber } from '../base/number.js';

const windowSchema = z
  .int()
  .min(1)
  .max(2 ** 24);

/** From a list with commas to numbers of tokens. */
export const windowsSchema = z
  .string()
  .transform((list) => list.split(',').map((word) => parseNumber(word.trim()) ?? word))
  .pipe(z.array(windowSchema));
