/** Numbers as people read them. */

/** Bits a byte from nats a token, and the mean bytes of a token. */
export function bitsPerByte(nats: number, bytesPerToken: number): number {
  return nats / bytesPerToken / Math.LN2;
}

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** `1:02` or `3:04:05`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}

/** `312 MB` or `1.2 GB`. */
export function formatBytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Rows of cells as lines: each column as wide as its widest cell, the first ones flush left and the others flush right. */
export function alignedLines(rows: readonly (readonly string[])[], { left = 1 } = {}): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  const padded = (cell: string, at: number) => cell[at < left ? 'padEnd' : 'padStart'](widths[at] ?? 0);
  return rows.map((row) => row.map(padded).join('  ').trimEnd());
}

/** `1.4 M` parameters. */
export function formatMillions(count: number): string {
  return count < 1e5 ? formatCount(count) : `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} M`;
}

/** `loss 0.1234, accuracy 0.9821`. */
export function formatMeasures(measures: Readonly<Record<string, number>>): string {
  return Object.entries(measures)
    .map(([name, value]) => `${name} ${value.toFixed(4)}`)
    .join(', ');
}

/** `loss 2.3412, 3.378 bits per byte`. */
export function formatLoss(nats: number, bytesPerToken: number): string {
  return `loss ${nats.toFixed(4)}, ${bitsPerByte(nats, bytesPerToken).toFixed(3)} bits per byte`;
}
