/** The encodings of text that tables may have, by the names that `TextDecoder` knows. */

/** latin1 is another name of windows-1252, as everywhere on the web. */
export const encodings = ['utf-8', 'latin1', 'windows-1252', 'utf-16le', 'utf-16be'] as const;
/** The encodings of tables that are read. */
export type Encoding = (typeof encodings)[number];
