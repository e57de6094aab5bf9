/** Text from UTF-8 bytes as they come: an unfinished character is held back until its last byte is there. */
export class Utf8Stream {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** The text that these bytes complete; bytes that are no UTF-8 become U+FFFD. */
  push(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** What is left at the end: U+FFFD for an unfinished character, otherwise nothing. The stream then starts anew. */
  flush(): string {
    return this.#decoder.decode();
  }
}
