import type { StreamingDecoder } from './streaming.ts';

/** How tokens become text, where they are text themselves and not bytes (Llama 2). `null` in a configuration: byte-level. */
export interface TextSteps {
  /** In each token, before all else. */
  readonly replacements: readonly { readonly pattern: string; readonly content: string }[];
  /** Tokens such as "<0x0A>" are bytes. */
  readonly byteFallback: boolean;
  /** How many of which character the whole text loses at its start. */
  readonly strip: { readonly content: string; readonly count: number } | null;
  /** The first token loses all of this character, which stands for a space. */
  readonly metaspace: { readonly replacement: string; readonly stripFirst: boolean } | null;
}

const BYTE_TOKEN = /^<0x([0-9a-f]{2}|\+[0-9a-f])>$/i; // Rust parses "+5" as well

/**
 * A decoder of tokens one by one. Bytes wait for the end of their run: Python makes U+FFFD of each byte of a run that is
 * not UTF-8 as a whole, and whether it is shows at its end.
 */
export function createTextDecoder(
  steps: TextSteps,
  tokenOf: (id: number) => string | undefined,
  continues: boolean,
): StreamingDecoder {
  let run: number[] = [];
  let toStrip = continues ? 0 : (steps.strip?.count ?? 0);
  let first = !continues;

  const endRun = (): string => {
    if (run.length === 0) return '';
    const bytes = Uint8Array.from(run);
    run = [];
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return '\ufffd'.repeat(bytes.length);
    }
  };
  const stripped = (text: string): string => {
    let at = 0;
    while (at < text.length && toStrip > 0 && text[at] === steps.strip!.content) {
      at++;
      toStrip--;
    }
    if (at < text.length) toStrip = 0;
    return text.slice(at);
  };

  return {
    push: (id) => {
      let token = tokenOf(id);
      if (token === undefined) return '';
      for (const { pattern, content } of steps.replacements) token = token.replaceAll(pattern, () => content);
      if (steps.metaspace) {
        const { replacement, stripFirst } = steps.metaspace;
        token = token.replaceAll(replacement, first && stripFirst ? '' : ' ');
      }
      first = false;
      const byte = steps.byteFallback ? BYTE_TOKEN.exec(token) : null;
      if (byte) {
        run.push(Number.parseInt(byte[1]!, 16));
        return '';
      }
      return stripped(endRun() + token);
    },
    flush: () => {
      const rest = stripped(endRun());
      toStrip = continues ? 0 : (steps.strip?.count ?? 0);
      first = !continues;
      return rest;
    },
  };
}
