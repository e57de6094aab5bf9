/** Families of models with their options in all pairs. */
import { describe } from 'vitest';
import { coveredFactors, optionsOf } from './factors.js';
import { conforms, randomModel } from './model-conformance.js';
import { withEachPart } from './product.js';

/** Tests of the cases of a covering that are of these families: of all pairs, or of each option (`product.ts`). */
export function describeCovering(families: readonly string[]): void {
  const { cases } = coveredFactors();
  const own = cases.filter((each) => families.includes(each.family!));
  for (const choice of withEachPart(own, (each) => Object.entries(each).map((part) => part.join(' ')))) {
    const { family, ...others } = choice;
    const told = Object.entries(others).filter(([, level]) => level !== 'plain');
    describe(`${family} with ${told.map((each) => each.join(' ')).join(', ')}`, () => {
      const { model, ...options } = optionsOf(choice);
      // The gradient takes the bound of a guarded denominator as given, and finite differences move it: test/attention has
      // gradients of signed features where no denominator is guarded.
      conforms(randomModel(model, options), { hasExactGradient: choice.attention !== 'trigonometric' });
    });
  }
}
