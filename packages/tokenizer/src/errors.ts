// The same marker as @mamba-ts/tensor's MambaError, so that its isMambaError() knows this error too: this package
// imports no other package of the family, and Symbol.for makes the two meet at run time.
const MARKER: symbol = Symbol.for('mamba-ts.error');

/**
 * What a {@link TokenizerError} is about. Stable.
 *
 * - `TOKENIZER_JSON`: the file is malformed or contradicts itself; `details.path` names the field.
 * - `TOKENIZER_UNSUPPORTED`: the file is sound but asks for a component that is not implemented; `details.found`,
 *   `details.supported`.
 * - `TOKENIZER_LIMIT`: a size is beyond what is accepted; `details.limit`, `details.found`.
 * - `TOKENIZER_ARGUMENT`: a method was called with something else than it takes.
 * - `CHAT_TEMPLATE`: what a file gives as its template is none, or more is given than is accepted.
 * - `CHAT_TEMPLATE_SYNTAX`: the template is not Jinja. `CHAT_TEMPLATE_RAISED`: it refuses this conversation, in the words of
 *   `details.reason`. `CHAT_TEMPLATE_RUN`: it fails otherwise.
 * - `CHAT_TEMPLATE_TIMEOUT`, `CHAT_TEMPLATE_MEMORY`: it was stopped, having taken more than its budget.
 */
export type TokenizerErrorCode =
  | 'TOKENIZER_JSON'
  | 'TOKENIZER_UNSUPPORTED'
  | 'TOKENIZER_LIMIT'
  | 'TOKENIZER_ARGUMENT'
  | 'CHAT_TEMPLATE'
  | 'CHAT_TEMPLATE_SYNTAX'
  | 'CHAT_TEMPLATE_RAISED'
  | 'CHAT_TEMPLATE_RUN'
  | 'CHAT_TEMPLATE_TIMEOUT'
  | 'CHAT_TEMPLATE_MEMORY';

/** The one error class of this package; test with `isMambaError` of @mamba-ts/tensor or by `code`. */
export class TokenizerError extends Error {
  /** Stable: what programs compare. */
  readonly code: TokenizerErrorCode;
  /** What the message says, as fields. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: TokenizerErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'TokenizerError';
    this.code = code;
    this.details = details;
    Object.defineProperty(this, MARKER, { value: true });
  }
}
