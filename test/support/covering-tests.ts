/** Families of models with their options in all pairs. */
import { describe } from 'vitest';
import { coveredFactors, optionsOf } from './factors.js';
import { conforms, randomModel } from './model-conformance.js';

/** Tests of the cases of a covering that are of these families. */
export function describeCovering(families: readonly string[]): void {
  const { cases } = coveredFactors();
  for (const choice of cases.filter((each) => families.includes(each.family!))) {
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
