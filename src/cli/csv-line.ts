/** Lines of CSV, as commands write them. */

/** A line with its end. */
export function csvLine(fields: readonly string[], delimiter = ','): string {
  return `${fields.map((field) => quoted(field, delimiter)).join(delimiter)}\n`;
}

/** A field of CSV, in quotes where it needs them. */
function quoted(field: string, delimiter: string): string {
  const isPlain = !/["\r\n]/.test(field) && !field.includes(delimiter) && field.trim() === field;
  return isPlain ? field : `"${field.replaceAll('"', '""')}"`;
}
