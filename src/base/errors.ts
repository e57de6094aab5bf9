/** The one error type of the library. Every message reads `where: expected X, got Y. What to do.` */

export type ErrorCode =
  | 'SHAPE'
  | 'DTYPE'
  | 'CONFIG'
  | 'USAGE'
  | 'CHECKPOINT'
  | 'DATA'
  | 'DEVICE'
  | 'NUMERIC'
  | 'GRADIENT'
  | 'INTERNAL';

/** An error with a stable `code`; the message is one line meant for the person who made the call. */
export class PerformerError extends Error {
  override readonly name = 'PerformerError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A broken invariant of ours: never the caller's fault. */
export function internalError(message: string): PerformerError {
  return new PerformerError('INTERNAL', `internal: ${message}`);
}

/** The message of anything that was thrown. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
