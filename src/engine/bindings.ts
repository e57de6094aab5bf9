/** Matching the arrays of a run to the inputs that were compiled. */
import { checkArray } from '../base/array.js';
import { type Dim, evaluateDim, formatDim, symbolName } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { elementCount, formatShape, resolveShape } from '../base/shape.js';
import { leavesOf } from '../base/tree.js';
import { inputName, type TracedGraph } from '../graph/trace.js';
import type { EngineTensor } from './engine.js';

/** Throws DTYPE or SHAPE for an array of the host that does not hold what it says. */
export function checkTensor(where: string, tensor: EngineTensor): void {
  if ('isPlaced' in tensor) return;
  if (!('data' in tensor)) {
    throw new PerformerError('DATA', `${where}: expected an array, got a specification. Give it data.`);
  }
  checkArray(where, tensor);
}

/**
 * The tensors of all arguments by name. Throws CONFIG for a name that is no input: what was compiled as a constant is not
 * given again.
 */
export function arraysByName({ inputs, constants }: TracedGraph, args: readonly unknown[]): Map<string, EngineTensor> {
  if (!Array.isArray(args as unknown)) {
    throw new PerformerError('DATA', `run: expected a list of arguments, got ${typeof args}. Write run([…]).`);
  }
  const names = new Set(inputs.map(({ name }) => name));
  const given = new Map<string, EngineTensor>();
  const leaves = args.flatMap((each: unknown) => leavesOf<unknown, EngineTensor>(each));
  for (const [path, tensor] of leaves) {
    const name = inputName(path);
    if (!names.has(name)) {
      const isConstant = constants.some((each) => each.name === name);
      const expected = isConstant ? `nothing for ${name}, which was compiled as a constant` : `inputs of the function`;
      const advice = isConstant ? 'Leave it out, or compile with spec(…) in its place.' : 'Leave it out.';
      throw new PerformerError('CONFIG', `run: expected ${expected}, got ${isConstant ? 'an array' : name}. ${advice}`);
    }
    if (given.has(name)) throw new PerformerError('CONFIG', `run: expected one array for ${name}, got two.`);
    checkTensor(`run: ${name}`, tensor);
    given.set(name, tensor);
  }
  return given;
}

/** Checks the arrays against the inputs and returns the values of the symbols. */
export function bindSymbols(
  inputs: TracedGraph['inputs'],
  arrays: ReadonlyMap<string, EngineTensor>,
): Map<string, number> {
  const bindings = new Map<string, number>();
  const expected: [string, Dim, number][] = [];
  for (const { name, tensor } of inputs) {
    const array = arrays.get(name);
    if (array === undefined) {
      throw new PerformerError('SHAPE', `run: expected an array for the input ${name} ${tensor}, got none.`);
    }
    const { dtype, shape } = array;
    const sameType = dtype === tensor.dtype || (dtype === 'float64' && tensor.dtype === 'float32');
    if (!sameType || shape.length !== tensor.rank) {
      const got = `${dtype} ${formatShape(shape)}`;
      throw new PerformerError(sameType ? 'SHAPE' : 'DTYPE', `run: expected ${name} to be ${tensor}, got ${got}.`);
    }
    shape.forEach((size, axis) => {
      const dim = tensor.dim(axis);
      const symbol = symbolName(dim);
      if (symbol !== undefined && !bindings.has(symbol)) bindings.set(symbol, size);
      else expected.push([name, dim, size]);
    });
  }
  for (const [name, dim, size] of expected) {
    const value = evaluateDim(dim, bindings);
    if (value !== size) {
      const wanted = typeof dim === 'number' ? String(dim) : `${formatDim(dim)} = ${value}`;
      throw new PerformerError('SHAPE', `run: expected ${wanted} as a dimension of ${name}, got ${size}.`);
    }
  }
  return bindings;
}

/** The caller's tensors for outputs, by path. Throws DTYPE or SHAPE for one of another type or size than its output. */
export function bindTargets(
  outputs: TracedGraph['outputs'],
  tree: unknown,
  bindings: ReadonlyMap<string, number>,
): Map<string, EngineTensor> {
  const targets = new Map(tree === undefined ? [] : leavesOf<unknown, EngineTensor>(tree));
  for (const [path, target] of targets) checkTensor(`run: the buffer for ${path || 'output'}`, target);
  for (const { path, name, tensor } of outputs) {
    const target = targets.get(path);
    if (target === undefined) continue;
    const isOfSize = elementCount(target.shape) === elementCount(resolveShape(tensor.shape, bindings));
    if (isOfSize && target.dtype === tensor.dtype) continue;
    const got = `${target.dtype} ${formatShape(target.shape)}`;
    throw new PerformerError(isOfSize ? 'DTYPE' : 'SHAPE', `run: expected a buffer for ${name} ${tensor}, got ${got}.`);
  }
  return targets;
}
