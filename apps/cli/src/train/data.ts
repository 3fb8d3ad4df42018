import { extname } from 'node:path';
import { openFile } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import type { Tokenizer } from '@mamba-ts/tokenizer';
import { fileTokens, memoryTokens, splitText, type TokenSource, tokenRange } from '@mamba-ts/train';
import { readText } from '../model.ts';

/** Text to learn from, and text that is kept from it. */
export interface Split {
  readonly training: TokenSource;
  readonly validation: TokenSource;
  /** Characters of the validation text; null where only tokens are known. */
  readonly characters: number | null;
}

/** Text that is not tokenized yet: documents before and behind the border. */
export interface RawSplit {
  readonly training: readonly string[];
  readonly validation: readonly string[];
}

/** Files of nothing but token ids, by the end of their name: bytes of one. */
const WIDTHS: Readonly<Record<string, 2 | 4>> = { '.u16': 2, '.u32': 4 };

export const isTokenFile = (path: string): boolean => extname(path) in WIDTHS;

/**
 * The texts of a file, the last `share` of it apart: characters of a text, documents of JSON lines (`{"text": …}` each).
 * Throws `FILE_READ`, `TRAIN_DATA`.
 */
export async function readTexts(path: string, share: number, signal: AbortSignal): Promise<RawSplit> {
  const text = await readText(path, signal);
  if (extname(path) !== '.jsonl') {
    const [training, validation] = splitText(text, share);
    return { training: [training], validation: [validation] };
  }
  const documents = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line, i) => documentOf(line, `${path}:${i + 1}`));
  const border = Math.floor((1 - share) * documents.length);
  return { training: documents.slice(0, border), validation: documents.slice(border) };
}

function documentOf(line: string, place: string): string {
  let value: unknown;
  try {
    value = (JSON.parse(line) as { text?: unknown } | null)?.text;
  } catch {
    // The same message.
  }
  if (typeof value === 'string') return value;
  throw new MambaError(
    'TRAIN_DATA',
    `${place} is not a JSON object with a "text", such as {"text": "Once upon a time"}`,
  );
}

/** Tokens of the texts; several documents begin with `separator` each, where there is one. */
export function tokenize({ training, validation }: RawSplit, tokenizer: Tokenizer, separator: number | null): Split {
  const tokens = (texts: readonly string[]): TokenSource =>
    memoryTokens(
      Int32Array.from(
        texts.flatMap((text) => {
          const ids = tokenizer.encode(text);
          return separator === null || texts.length < 2 ? ids : [separator, ...ids];
        }),
      ),
    );
  return {
    training: tokens(training),
    validation: tokens(validation),
    characters: validation.reduce((sum, text) => sum + [...text].length, 0),
  };
}

/** A file of token ids, read by ranges, the last `share` of it apart. */
export async function openTokens(path: string, share: number): Promise<Split> {
  const all = fileTokens(await openFile(path), WIDTHS[extname(path)]!);
  const border = Math.floor((1 - share) * all.length);
  return {
    training: tokenRange(all, 0, border),
    validation: tokenRange(all, border, all.length),
    characters: null,
  };
}
