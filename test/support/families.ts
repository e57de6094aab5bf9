/** What each family of models needs beside the sizes of its trunk. */
export const familyOptions: Readonly<Record<string, object>> = {
  classifier: { targets: { kind: 'classes', names: ['a', 'b', 'c'] } },
};
