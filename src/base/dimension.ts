/**
 * Dimensions: a number, or an integer expression over named symbols such as `length` or `64*ceil(length/64)`.
 *
 * An expression is a polynomial with integer coefficients whose atoms are symbols and ceiling quotients. It is kept
 * in one canonical form, so that two dimensions are equal exactly when they print alike.
 */
import { internalError, PerformerError } from './errors.js';

/** A dimension: a number, or an expression over symbols. Compare two with `sameDim`, never with `===`. */
export type Dim = number | DimExpression;

/** Values of the symbols, by name. */
export type DimBindings = ReadonlyMap<string, number>;

interface Symbol {
  readonly kind: 'symbol';
  readonly name: string;
}
interface CeilQuotient {
  readonly kind: 'ceil';
  readonly numerator: Dim;
  readonly divisor: number;
}
/** What is multiplied in a term: a symbol, or ⌈numerator / divisor⌉. */
export type DimAtom = Symbol | CeilQuotient;

/** coefficient × product of atoms; a constant has no atoms. */
export interface DimTerm {
  readonly coefficient: number;
  readonly atoms: readonly DimAtom[];
}

/** A sum of terms in canonical form. Make one with `symbol` and compute with `addDims` and its like. */
export class DimExpression {
  readonly terms: readonly DimTerm[];
  readonly text: string;

  constructor(terms: readonly DimTerm[]) {
    this.terms = terms;
    this.text = terms.map(formatTerm).join(' + ').replaceAll('+ -', '- ');
  }

  /** As in messages and printed graphs: `64*ceil((length)/64)`. */
  toString(): string {
    return this.text;
  }
}

function formatAtom(atom: DimAtom): string {
  return atom.kind === 'symbol' ? atom.name : `ceil((${formatDim(atom.numerator)})/${atom.divisor})`;
}

function monomialKey(term: DimTerm): string {
  return term.atoms.map(formatAtom).join('*');
}

function formatTerm(term: DimTerm): string {
  const monomial = monomialKey(term);
  if (monomial === '') return String(term.coefficient);
  if (term.coefficient === 1) return monomial;
  return `${term.coefficient}*${monomial}`;
}

/** A dimension as messages have it. */
export function formatDim(dim: Dim): string {
  return String(dim);
}

function termsOf(dim: Dim): readonly DimTerm[] {
  if (typeof dim !== 'number') return dim.terms;
  return dim === 0 ? [] : [{ coefficient: dim, atoms: [] }];
}

function fromTerms(terms: Iterable<DimTerm>): Dim {
  const byMonomial = new Map<string, DimTerm>();
  for (const term of terms) {
    const key = monomialKey(term);
    const coefficient = (byMonomial.get(key)?.coefficient ?? 0) + term.coefficient;
    byMonomial.set(key, { coefficient, atoms: term.atoms });
  }
  const kept = [...byMonomial].filter(([, term]) => term.coefficient !== 0);
  kept.sort(([left], [right]) => (left < right ? 1 : left > right ? -1 : 0)); // constants last
  const canonical = kept.map(([, term]) => term);
  const [first] = canonical;
  if (first === undefined) return 0;
  if (canonical.length === 1 && first.atoms.length === 0) return first.coefficient;
  return new DimExpression(canonical);
}

/** A named dimension whose value is known when the graph runs. */
export function symbol(name: string): DimExpression {
  if (!/^[a-zA-Z_]\w*$/.test(name)) {
    throw new PerformerError('SHAPE', `symbol: expected a name of letters, digits and _, got "${name}".`);
  }
  return new DimExpression([{ coefficient: 1, atoms: [{ kind: 'symbol', name }] }]);
}

/** left + right */
export function addDims(left: Dim, right: Dim): Dim {
  if (typeof left === 'number' && typeof right === 'number') return left + right;
  return fromTerms([...termsOf(left), ...termsOf(right)]);
}

/** left · right */
export function multiplyDims(left: Dim, right: Dim): Dim {
  if (typeof left === 'number' && typeof right === 'number') return left * right;
  return fromTerms(
    termsOf(left).flatMap((a) =>
      termsOf(right).map((b) => ({
        coefficient: a.coefficient * b.coefficient,
        atoms: [...a.atoms, ...b.atoms].sort((x, y) => (formatAtom(x) < formatAtom(y) ? -1 : 1)),
      })),
    ),
  );
}

/** left − right */
export function subtractDims(left: Dim, right: Dim): Dim {
  return addDims(left, multiplyDims(right, -1));
}

/** ⌈dim / divisor⌉ for a positive integer divisor. */
export function ceilDivide(dim: Dim, divisor: number): Dim {
  if (!Number.isInteger(divisor) || divisor < 1) {
    throw new PerformerError('SHAPE', `ceilDivide: expected a positive integer divisor, got ${divisor}.`);
  }
  if (typeof dim === 'number') return Math.ceil(dim / divisor);
  if (divisor === 1) return dim;
  const whole = dim.terms.filter((term) => term.coefficient % divisor === 0);
  const rest = fromTerms(dim.terms.filter((term) => term.coefficient % divisor !== 0));
  const quotient = fromTerms(whole.map((term) => ({ ...term, coefficient: term.coefficient / divisor })));
  if (typeof rest === 'number') return addDims(quotient, Math.ceil(rest / divisor));
  const atom: DimAtom = { kind: 'ceil', numerator: rest, divisor };
  return addDims(quotient, new DimExpression([{ coefficient: 1, atoms: [atom] }]));
}

/** The smallest multiple of `multiple` that is not below `dim`. */
export function roundUp(dim: Dim, multiple: number): Dim {
  return multiplyDims(ceilDivide(dim, multiple), multiple);
}

/** Whether two dimensions are equal for every value of their symbols. */
export function sameDim(left: Dim, right: Dim): boolean {
  return typeof left === 'number' || typeof right === 'number' ? left === right : left.text === right.text;
}

/** The value of a dimension under given values of its symbols. */
export function evaluateDim(dim: Dim, bindings: DimBindings): number {
  if (typeof dim === 'number') return dim;
  let total = 0;
  for (const term of dim.terms) {
    let product = term.coefficient;
    for (const atom of term.atoms) product *= evaluateAtom(atom, bindings);
    total += product;
  }
  return total;
}

function evaluateAtom(atom: DimAtom, bindings: DimBindings): number {
  if (atom.kind === 'ceil') return Math.ceil(evaluateDim(atom.numerator, bindings) / atom.divisor);
  const value = bindings.get(atom.name);
  if (value === undefined) throw internalError(`the symbol ${atom.name} is bound by no input`);
  return value;
}

/** The name of the symbol when the dimension is one symbol alone. */
export function symbolName(dim: Dim): string | undefined {
  if (typeof dim === 'number' || dim.terms.length !== 1) return undefined;
  const [term] = dim.terms;
  const [atom] = term?.atoms ?? [];
  return term?.coefficient === 1 && term.atoms.length === 1 && atom?.kind === 'symbol' ? atom.name : undefined;
}
