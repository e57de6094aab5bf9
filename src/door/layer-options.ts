/**
 * The options of the layers of the front door's models as types that read well in an editor. The schemas of `models` check them
 * and hold their defaults; a test holds these types to the schemas.
 */
import type { Llama3Scaling } from '../blocks/index.js';
import type { FeatureMapName, ProjectionKind } from '../features/index.js';

/** One of the names that are known, or one that was registered from outside. */
type Name<Known extends string> = Known | (string & Record<never, never>);

/** The feature map of FAVOR+ by its name, or with options. */
export type FeaturesOption = Name<FeatureMapName> | FeatureOptions;

/** A feature map by its name, with the options that it has; others take their defaults. */
export interface FeatureOptions {
  /** The map; positive (FAVOR+'s own) unless given. `featureMapNames()` of `performer-ts/features` lists all. */
  readonly name?: Name<FeatureMapName> | undefined;
  /** Random features; dim · ln dim, rounded up, unless given. More are closer to the kernel, and slower. */
  readonly featureCount?: number | undefined;
  /** How random rows are drawn; orthogonal unless given. */
  readonly projectionKind?: ProjectionKind | 'none' | undefined;
  /** The lengths of random rows: as Gaussian rows have them (chi, unless given), or all √dim (root). */
  readonly rowNorm?: 'chi' | 'root' | undefined;
  /** The map's own options, such as `degree` of the polynomial map; docs/features.md has them. */
  readonly [option: string]: unknown;
}

/** The kinds of attention that are built in. */
export type AttentionKind =
  | 'favor+'
  | 'softmax'
  | 'hybrid'
  | 'window'
  | 'local-heads'
  | 'clustered'
  | 'routing'
  | 'routing-hybrid'
  | 'shared'
  | 'none';

/** Attention by its kind, or with options. A kind that was registered by `registerMixer` may be named, too. */
export type AttentionOption =
  | Name<AttentionKind>
  | {
      /**
       * favor+ (linear in the length), softmax (exact), hybrid (exact for the nearest tokens, favor+ beyond), window (the
       * nearest tokens alone), local-heads (some heads with a window), clustered (queries in clusters), routing (exact for a
       * cluster of keys alone), routing-hybrid (favor+ for all other keys), shared (with an earlier layer), none, or a
       * registered kind; favor+ unless given.
       */
      readonly kind?: Name<AttentionKind> | undefined;
      /** The feature map of kinds that have one. */
      readonly features?: FeaturesOption | undefined;
      /** Of causal favor+ and hybrid: what a token makes of those before it; none unless given. */
      readonly forgetting?: 'none' | 'decay' | 'gates' | undefined;
      /** Of favor+ without a causal order: texts of up to so many tokens are read exactly. */
      readonly exactUpTo?: number | undefined;
      /** Of causal favor+: what is added to each sum of the features of keys; nothing unless given. */
      readonly normalizerEpsilon?: number | undefined;
      /** Of softmax: buckets of distances with a learned score each (none), and the distance where they end (128). */
      readonly relativeBuckets?: number | undefined;
      readonly relativeDistance?: number | undefined;
      /** Keys that are read exactly, of kinds with a window; 128 unless given. */
      readonly window?: number | undefined;
      /** Of kinds that route: clusters of keys, of which a query sees one; 16 unless given. */
      readonly keyClusters?: number | undefined;
      /** Of local-heads: how many see their window alone; 1 unless given. */
      readonly localHeads?: number | undefined;
      /** Of clustered: clusters of a head (64), planes for hashes (32), moves of centers (5), keys that queries weigh themselves (0). */
      readonly clusters?: number | undefined;
      readonly hashBits?: number | undefined;
      readonly iterations?: number | undefined;
      readonly topK?: number | undefined;
      /** What a shared kind reuses of the nearest earlier attention of its own: its weights, unless given, or its whole output. */
      readonly part?: 'weights' | 'output' | undefined;
      /** Options of a registered kind. */
      readonly [option: string]: unknown;
    };

/** How tokens know where they stand. */
export type PositionsOption =
  | 'rotary'
  | 'sinusoidal'
  | 'none'
  | { readonly kind: 'sinusoidal' | 'none' }
  | {
      readonly kind: 'rotary';
      /** The base of the angles; 10,000 unless given. */
      readonly base?: number | undefined;
      /** The part of each head that turns; 1 unless given. */
      readonly fraction?: number | undefined;
      /** For texts that are `factor` times as long as those that the model learned; none unless given. */
      readonly scaling?:
        | 'none'
        | { readonly kind: 'linear' | 'ntk'; readonly factor?: number | undefined }
        | ({ readonly kind: 'llama3' } & Partial<Omit<Llama3Scaling, 'kind'>>)
        | undefined;
    }
  | {
      readonly kind: 'learned';
      /** The longest text. */
      readonly maxLength: number;
    }
  | {
      readonly kind: 'axial';
      /** The longest text. */
      readonly maxLength: number;
      /** Places in a row; 64 unless given. */
      readonly columns?: number | undefined;
      /** Tokens at each place, as the colours of a pixel; 1 unless given. */
      readonly channels?: number | undefined;
    };

/** How patches and pixels know where they stand: the sizes of tables follow from those of images. */
export type ImagePositionsOption =
  | 'axial'
  | 'learned'
  | 'rotary'
  | 'sinusoidal'
  | 'none'
  | { readonly kind: 'axial' | 'learned' }
  | Extract<PositionsOption, { readonly kind: 'rotary' | 'sinusoidal' | 'none' }>;

/** What keeps the scale of layers: a norm before or behind them, or ReZero. */
export type NormOption =
  | 'layer'
  | 'rms'
  | 'scale'
  | 'rezero'
  | {
      readonly kind: 'layer' | 'rms' | 'scale';
      readonly placement?: 'pre' | 'post' | undefined;
      /** What is added to the mean of the squares; 1e-5 unless given. */
      readonly epsilon?: number | undefined;
    }
  | { readonly kind: 'rezero' };

/** Whether queries and keys are normalised to a learned length, or multiplied by a learned factor as they are. */
export type QueryKeyNormOption =
  | 'none'
  | 'unit'
  | 'temperature'
  | { readonly kind: 'none' | 'temperature' }
  | {
      readonly kind: 'unit';
      /** The largest logit before training; 4 unless given. */
      readonly temperature?: number | undefined;
    };
