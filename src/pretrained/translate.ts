/** The tensors of a pretrained model as the parameters and buffers of ours. Every tensor is taken, or named by its family as not needed. */
import { type AnyHostTensor, float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';
import { elementCount, formatShape } from '../base/shape.js';
import type { PretrainedModel } from './registry.js';
import { parametersOf, type TensorRule, tensorOf } from './tensors.js';

/** What is known of a tensor before its values are read. */
export type TensorLayout = Pick<AnyHostTensor, 'dtype' | 'shape'>;

interface Plan {
  /** The rules of each tensor that is needed, by its name in the files, with the parameters in place of patterns. */
  readonly taken: ReadonlyMap<string, { readonly rule: TensorRule; readonly to: readonly string[] }>;
  /** Tensors that must equal others. */
  readonly copies: readonly (readonly [name: string, of: string])[];
  /** Tensors of parts that our model does not have. */
  readonly unused: readonly string[];
  /** Parameters that begin at 0. */
  readonly begun: readonly string[];
}

/**
 * What becomes of the tensors of the files, by names and shapes alone; `shapes` are those of our parameters, and `depth` is the
 * number of layers.
 *
 * @throws CHECKPOINT for a tensor that is missing, there twice, not understood, or of another shape or type.
 */
export function planTensors(
  where: string,
  { family, config, architecture }: PretrainedModel,
  layout: ReadonlyMap<string, TensorLayout>,
  { shapes, depth }: { readonly shapes: ReadonlyMap<string, readonly number[]>; readonly depth: number },
): Plan {
  const names = shortNames(where, family, layout);
  const taken = new Map<string, { readonly rule: TensorRule; readonly to: readonly string[] }>();
  const takenNames = new Map<string, string>();
  for (const rule of family.rules(config, architecture)) {
    for (const layer of layersOf(rule, depth)) {
      const own = (pattern: string) => pattern.replace('*', String(layer));
      const [from, to] = [own(rule.from), rule.to.map(own)];
      const name = names.get(from);
      const shape = rule.shapeOf(to.map((path) => shapes.get(path) ?? internal(path)));
      if (name === undefined) refuse(where, `a tensor ${from} ${formatShape(shape)}`, 'none');
      const { dtype, shape: got } = layout.get(name)!;
      if (dtype !== 'float32' || formatShape(got) !== formatShape(shape)) {
        refuse(
          where,
          `${escaped(name)} to be of 32 or 16 bits and ${formatShape(shape)}`,
          `${dtype} ${formatShape(got)}`,
        );
      }
      taken.set(name, { rule, to });
      takenNames.set(from, name);
      names.delete(from);
    }
  }
  const copies: (readonly [string, string])[] = [];
  for (const [copy, of] of family.copies?.(config, architecture) ?? []) {
    const name = names.get(copy);
    if (name !== undefined) copies.push([name, takenNames.get(of)!]);
    names.delete(copy);
  }
  const matches = (patterns: readonly string[] = []) => {
    const found = [...names].filter(([short]) => patterns.some((pattern) => isMatch(pattern, short, depth)));
    for (const [short] of found) names.delete(short);
    return found.map(([, name]) => name);
  };
  matches(family.derived);
  const unused = matches(family.unused);
  for (const name of names.values())
    refuse(where, `tensors of ${architecture}`, `${escaped(name)}, which is not understood`);
  return { taken, copies, unused, begun: family.begun?.(config, architecture) ?? [] };
}

/** The parameters by their paths. Throws CHECKPOINT for a tensor that should equal another and does not. */
export function translateTensors(
  where: string,
  { taken, copies, begun }: Plan,
  tensors: ReadonlyMap<string, AnyHostTensor>,
  shapes: ReadonlyMap<string, readonly number[]>,
): Map<string, HostTensor> {
  const valuesOf = (name: string) => tensors.get(name)!.data as Float32Array;
  for (const [name, of] of copies) {
    const [own, other] = [valuesOf(name), valuesOf(of)];
    if (own.length !== other.length || own.some((value, index) => value !== other[index])) {
      refuse(where, `${escaped(name)} to equal ${escaped(of)}, as the config ties them`, 'other values');
    }
  }
  const params = new Map(begun.map((path) => [path, zeros(shapes.get(path) ?? internal(path))]));
  for (const [name, { rule, to }] of taken) {
    const targets = to.map((path) => shapes.get(path)!);
    parametersOf(rule, valuesOf(name), targets).forEach((values, index) => {
      params.set(to[index]!, float32(targets[index]!, values));
    });
  }
  return params;
}

type Values = ReadonlyMap<string, AnyHostTensor>;

/** The tensors of the family by the names that files have, from our parameters by their paths. */
export function pretrainedTensors(
  { family, config, architecture }: PretrainedModel,
  params: Values,
  depth: number,
): Map<string, HostTensor> {
  const tensors = new Map<string, HostTensor>();
  const { prefix = '', nameOf = (name) => `${prefix}${name}` } = family;
  for (const rule of family.rules(config, architecture)) {
    for (const layer of layersOf(rule, depth)) {
      const own = (pattern: string) => pattern.replace('*', String(layer));
      tensors.set(nameOf(own(rule.from), architecture), tensorFrom(rule, rule.to.map(own), params));
    }
  }
  return tensors;
}

/**
 * The tensors of files with what our parameters have become in their place, and those of parts that our model does not have as they
 * were. Those that follow from the config, and copies of others, are left out.
 *
 * @throws CHECKPOINT as `planTensors`.
 */
export function replacedTensors(
  where: string,
  read: PretrainedModel,
  before: Values,
  { params, depth }: { readonly params: Values; readonly depth: number },
): Map<string, HostTensor> {
  const shapes = new Map([...params].map(([path, { shape }]) => [path, shape]));
  const { taken, unused } = planTensors(where, read, before, { shapes, depth });
  const own = [...taken].map(([name, { rule, to }]) => [name, tensorFrom(rule, to, params, before.get(name))] as const);
  const kept = unused.map((name) => {
    const tensor = before.get(name) as AnyHostTensor;
    if (tensor.dtype !== 'float32') refuse(where, `${escaped(name)} to be of 32 or 16 bits`, tensor.dtype);
    return [name, tensor as HostTensor] as const;
  });
  return new Map([...own, ...kept]);
}

function tensorFrom(rule: TensorRule, to: readonly string[], params: Values, before?: AnyHostTensor): HostTensor {
  const parts = to.map((path) => params.get(path) ?? internal(path));
  const shapes = parts.map(({ shape }) => shape);
  const values = parts.map(({ data }) => data as Float32Array);
  return float32(rule.shapeOf(shapes), tensorOf(rule, values, shapes, before?.data as Float32Array | undefined));
}

function zeros(shape: readonly number[]): HostTensor {
  return float32(shape, new Float32Array(elementCount(shape)));
}

/** The layers that a rule stands for: one where it names none. */
function layersOf(rule: TensorRule, depth: number): readonly number[] {
  return Array.from({ length: rule.from.includes('*') ? depth : 1 }, (_, index) => index);
}

/** The names without the prefix of the family. */
function shortNames(
  where: string,
  { prefix, rename = (name) => name }: PretrainedModel['family'],
  layout: ReadonlyMap<string, TensorLayout>,
): Map<string, string> {
  const names = new Map<string, string>();
  for (const name of layout.keys()) {
    const short = rename(prefix !== undefined && name.startsWith(prefix) ? name.slice(prefix.length) : name);
    const other = names.get(short);
    if (other !== undefined) refuse(where, `one tensor ${escaped(short)}`, `${escaped(other)} and ${escaped(name)}`);
    names.set(short, name);
  }
  return names;
}

function isMatch(pattern: string, name: string, depth: number): boolean {
  const [start, end] = pattern.split('*') as [string, string?];
  if (end === undefined) return name === start;
  const layer = name.slice(start.length, name.length - end.length);
  return name === `${start}${layer}${end}` && /^(0|[1-9]\d{0,5})$/.test(layer) && Number(layer) < depth;
}

function internal(path: string): never {
  throw new PerformerError(
    'CHECKPOINT',
    `internal: a rule of tensors leads to ${path}, which the model does not have.`,
  );
}

function refuse(where: string, expected: string, got: string): never {
  const advice = 'Get the whole folder again; a model with other parts is not understood.';
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${got}. ${advice}`);
}
