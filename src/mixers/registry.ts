/** The mixers by kind. A model's options and the command line choose among these, and `registerMixer` adds others. */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { memoized } from '../base/memoized.js';
import { choice } from '../base/options.js';
import { clusteredMixer } from './clustered.js';
import { favorMixer } from './favor.js';
import { hybridMixer } from './hybrid.js';
import { localHeadsMixer } from './local-heads.js';
import type { AnyMixerFamily, CrossMixer, Mixer, MixerFamily, MixerSizes, ProblemSizes } from './mixer.js';
import { noMixer } from './none.js';
import { routingHybridMixer, routingMixer } from './routing.js';
import { sharedMixer } from './shared.js';
import { softmaxMixer } from './softmax.js';
import { windowMixer } from './window.js';

const builtIn = [
  favorMixer,
  softmaxMixer,
  hybridMixer,
  windowMixer,
  localHeadsMixer,
  clusteredMixer,
  routingMixer,
  routingHybridMixer,
  sharedMixer,
  noMixer,
] as const;
type BuiltIn = (typeof builtIn)[number];

const families = new Map<string, AnyMixerFamily>(
  builtIn.map((family) => [family.kind, family as unknown as AnyMixerFamily]),
);

/**
 * Adds a mixer, which can then be used by its kind in options, on the command line and in code.
 *
 * @throws CONFIG for a kind that is taken.
 */
export function registerMixer<K extends string, O extends z.ZodRawShape>(family: MixerFamily<K, O>): void {
  if (families.has(family.kind)) {
    throw new PerformerError('CONFIG', `registerMixer: expected a kind that is free, got ${family.kind}.`);
  }
  families.set(family.kind, family as unknown as AnyMixerFamily);
}

function mixerSchema<K extends string, O extends z.ZodRawShape>({ kind, own }: MixerFamily<K, O>) {
  return z.strictObject({ kind: z.literal(kind), ...own });
}

const schemaOf = memoized(mixerSchema);

type VariantOf<F> = F extends MixerFamily<infer K, infer O> ? ReturnType<typeof mixerSchema<K, O>> : never;

/** The choice of a mixer with its options, as a part of a model's options. */
export function mixerChoice() {
  return choice(
    'kind',
    () => [...families.values()].map(schemaOf) as unknown as readonly VariantOf<BuiltIn>[],
    'favor+',
  );
}

/** A mixer by its kind, with its options. */
export type MixerChoice = z.output<ReturnType<typeof mixerChoice>>;

function familyOf({ kind }: MixerChoice): AnyMixerFamily {
  const family = families.get(kind);
  if (family !== undefined) return family;
  const known = [...families.keys()].join(', ');
  throw new PerformerError('CONFIG', `attention: expected one of ${known}, got ${kind}.`);
}

/** What is wrong with a choice for these sizes, by the path within it. */
export function mixerProblems(
  chosen: MixerChoice,
  sizes: ProblemSizes,
): readonly (readonly [path: readonly string[], message: string])[] {
  return familyOf(chosen).problems?.(chosen, sizes) ?? [];
}

/** The choice with all that follows from the sizes filled in. */
export function completeMixer(chosen: MixerChoice, sizes: Pick<MixerSizes, 'headDim'>): MixerChoice {
  return { ...chosen, ...familyOf(chosen).complete?.(chosen, sizes) };
}

/** Whether a mixer looks where an earlier layer looked. */
export function isShared({ kind }: { readonly kind: string }): boolean {
  return families.get(kind)?.isShared === true;
}

/** Whether no token sees another by a mixer. */
export function isBlind({ kind }: { readonly kind: string }): boolean {
  return families.get(kind)?.isBlind === true;
}

/** The mixers of the layers, as options choose them. Throws CONFIG for shared attention without an earlier layer to share. */
export function buildMixers(chosen: readonly MixerChoice[], sizes: MixerSizes): readonly Mixer[] {
  let source: Mixer | undefined;
  return chosen.map((each) => {
    const mixer = familyOf(each).build(each, sizes, source);
    if (!isShared(each)) source = mixer;
    return mixer;
  });
}

/** The mixer of a layer that has attention of its own. Throws CONFIG for shared attention. */
export function buildMixer(chosen: MixerChoice, sizes: MixerSizes): Mixer {
  return buildMixers([chosen], sizes)[0] as Mixer;
}

/** Whether tokens can look at a source by a mixer. */
export function hasCross(chosen: MixerChoice): boolean {
  return familyOf(chosen).cross !== undefined;
}

/** How the tokens of each layer look at a source: those of shared attention by the kind that it shares. */
export function buildCrossMixers(chosen: readonly MixerChoice[], sizes: MixerSizes): readonly CrossMixer[] {
  let own: MixerChoice | undefined;
  return chosen.map((each) => {
    if (own === undefined || !isShared(each)) own = each;
    return buildCrossMixer(own, sizes);
  });
}

/** How tokens look at a source. Throws CONFIG where the mixer has no way to. */
export function buildCrossMixer(chosen: MixerChoice, sizes: MixerSizes): CrossMixer {
  const built = familyOf(chosen).cross?.(chosen, sizes);
  if (built !== undefined) return built;
  throw new PerformerError('CONFIG', `attention: expected one that can look at a source, got ${chosen.kind}.`);
}
