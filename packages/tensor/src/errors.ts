const MARKER: unique symbol = Symbol.for('mamba-ts.error') as never;

/**
 * The one error base class. `code` is stable and machine-readable; `details` carries the structured facts.
 * The message names the thing, what was expected, what was found, and the remedy.
 *
 * Two copies of this package may meet in one program (packages version independently), so test with
 * {@link isMambaError}, never with `instanceof`.
 */
export class MambaError extends Error {
  /** Stable, such as `FILE_MISSING`: what programs compare. */
  readonly code: string;
  /** What the message says, as fields: names, expected and found values. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'MambaError';
    this.code = code;
    this.details = details;
    Object.defineProperty(this, MARKER, { value: true });
  }
}

/** True for an error of any package of this family, from any copy of it; with `code`, only for that one. */
export function isMambaError(error: unknown, code?: string): error is MambaError {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as { [MARKER]?: unknown })[MARKER] === true &&
    (code === undefined || (error as MambaError).code === code)
  );
}
