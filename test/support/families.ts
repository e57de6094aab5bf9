/** What each family of models needs beside the sizes of its trunk. */
export const familyOptions: Readonly<Record<string, object>> = {
  classifier: { targets: { kind: 'classes', names: ['a', 'b', 'c'] } },
  'image-classifier': {
    image: { height: 6, width: 8, channels: 1 },
    patch: 2,
    targets: { kind: 'classes', names: ['a', 'b', 'c'] },
  },
  'token-classifier': { targets: { kind: 'classes', names: ['a', 'b', 'c'] } },
  'pixel-model': { image: { height: 2, width: 8, channels: 1 } },
};
