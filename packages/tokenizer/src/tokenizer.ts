import { AddedTokenMatcher } from './added-tokens.ts';
import { tokenBytes } from './bytes.ts';
import { createTextDecoder } from './decoder.ts';
import { TokenizerError } from './errors.ts';
import { type GgufTokenizerFields, parseTokenizerGguf } from './gguf.ts';
import { MAX_ID } from './json.ts';
import type { Place } from './model.ts';
import { parseTokenizerJson, type TokenizerConfig } from './parse.ts';
import { createStreamingDecoder, type StreamingDecoder } from './streaming.ts';

/** How a text becomes ids. */
export interface EncodeOptions {
  /** Let the file's post-processor put its special tokens around the text. Default true, as in Python. */
  readonly addSpecialTokens?: boolean;
  /**
   * The text continues another one: no space is put before its first word where the file puts one before a text (as
   * Llama 2 does). Default false, as in Python.
   */
  readonly continues?: boolean;
}

/** How ids become a text. */
export interface DecodeOptions {
  /** Leave out special tokens. Default true, as in Python. */
  readonly skipSpecialTokens?: boolean;
  /** The ids continue a text: the space before their first word stays where decoding takes it away. Default false. */
  readonly continues?: boolean;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

/**
 * Text to ids and back, as a `tokenizer.json` says: byte-level BPE of the GPT-2 and GPT-NeoX kind, and BPE on characters
 * with byte tokens of the Llama 2 kind.
 * Equal to Python's `tokenizers` 0.23 id for id, in every JavaScript engine.
 */
export class Tokenizer {
  readonly #config: TokenizerConfig;
  readonly #rawTokens: AddedTokenMatcher;
  readonly #normalizedTokens: AddedTokenMatcher;
  readonly #tokens: Map<number, string> = new Map();
  readonly #ids: Map<string, number>;
  readonly #bytes: Map<number, Uint8Array> = new Map();
  /** Added tokens as they are decoded, where tokens are text. */
  readonly #texts: Map<number, string> = new Map();
  readonly #skipped: Set<number> = new Set();
  /** Special tokens by content, in the order of the file. */
  readonly specialTokens: ReadonlyMap<string, number>;

  private constructor(config: TokenizerConfig) {
    this.#config = config;
    this.#ids = new Map(config.vocab);
    for (const [token, id] of config.vocab) this.#tokens.set(id, token);
    const { addedTokens } = config;
    const normalize = (text: string): string => config.normalize(text, 'first');
    const special = new Map(addedTokens.filter((token) => token.special).map((token) => [token.content, token.id]));
    this.specialTokens = special;
    for (const { id, content, normalized } of addedTokens) {
      this.#tokens.set(id, content);
      this.#ids.set(content, id);
      // Python decodes a normalized token by its normal form, and by that form asks whether it is special.
      const decoded = normalized ? normalize(content) : content;
      if (config.textSteps) this.#texts.set(id, decoded);
      else this.#bytes.set(id, tokenBytes(decoded));
      if (special.has(decoded)) this.#skipped.add(id);
    }
    this.#rawTokens = new AddedTokenMatcher(addedTokens.filter((t) => !t.normalized).map((t) => [t.content, t]));
    this.#normalizedTokens = new AddedTokenMatcher(
      addedTokens.filter((t) => t.normalized).map((t) => [normalize(t.content), t]),
    );
  }

  /**
   * From the content of a tokenizer.json: its bytes, its text, or the value parsed from it.
   * The file may be hostile: all of it is checked, and the work is bounded.
   * Throws {@link TokenizerError}: TOKENIZER_JSON, TOKENIZER_UNSUPPORTED, TOKENIZER_LIMIT.
   */
  static fromJSON(json: unknown | string | Uint8Array): Tokenizer {
    return new Tokenizer(parseTokenizerJson(json));
  }

  /**
   * From the metadata of a GGUF file (`tokenizer.ggml.*`): byte-level BPE (`gpt2`) with the pre-tokenizers of GPT-2,
   * Llama 3 and Qwen 2, by the names that llama.cpp gives them and their kin, and SentencePiece's BPE (`llama`), whose
   * pieces have scores. Throws as {@link fromJSON} does.
   */
  static fromGguf(fields: GgufTokenizerFields): Tokenizer {
    return new Tokenizer(parseTokenizerGguf(fields));
  }

  /** How many tokens there are, added ones included. A model's matrices may have more rows (padding). */
  get vocabSize(): number {
    return this.#tokens.size;
  }

  /** The id of a token as the file spells it (byte-level: "Ġthe" for " the"). */
  tokenToId(token: string): number | undefined {
    return this.#ids.get(token);
  }

  /** The token of an id as the file spells it. */
  idToToken(id: number): string | undefined {
    return this.#tokens.get(id);
  }

  /**
   * The ids of `text`. Special tokens that occur in the text are recognised, as in Python. Lone surrogates count as
   * U+FFFD. Time is O(n log n) for any text.
   */
  encode(text: string, { addSpecialTokens = true, continues = false }: EncodeOptions = {}): number[] {
    if (typeof text !== 'string') {
      throw new TokenizerError('TOKENIZER_ARGUMENT', `encode() takes a string, but was given ${typeof text}.`, {});
    }
    const { model, normalize, preTokenize, postProcessor } = this.#config;
    const ids: number[] = addSpecialTokens ? [...postProcessor.prefix] : [];
    const push = (id: number): void => {
      ids.push(id);
    };
    const encodeWord = (word: string): void => model.encode(word, ids);
    const encodeRaw = (raw: string, rawStart: number): void => {
      const place: Place = rawStart > 0 ? 'later' : continues ? 'continued' : 'first';
      const encodePiece = (piece: string, start: number): void =>
        preTokenize(piece, start > 0 ? 'later' : place, encodeWord);
      this.#normalizedTokens.split(normalize(raw, place), encodePiece, push);
    };
    this.#rawTokens.split(text.toWellFormed(), encodeRaw, push);
    if (addSpecialTokens) for (const id of postProcessor.suffix) ids.push(id);
    return ids;
  }

  /**
   * The text of `ids`. Bytes that are not UTF-8 become U+FFFD. Ids without a token (padding rows of a model's matrix)
   * have no text, as in Python. Throws TOKENIZER_ARGUMENT for what cannot be an id.
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const { skipSpecialTokens = true } = options;
    if (this.#config.textSteps) {
      const decoder = this.createDecoder(options);
      let text = '';
      for (let i = 0; i < ids.length; i++) text += decoder.push(ids[i]!);
      return text + decoder.flush();
    }
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let i = 0; i < ids.length; i++) {
      const bytes = this.#bytesOf(ids[i]!, skipSpecialTokens);
      pieces.push(bytes);
      length += bytes.length;
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(all);
  }

  /** A decoder for ids that come one by one. See {@link StreamingDecoder}. */
  createDecoder({ skipSpecialTokens = true, continues = false }: DecodeOptions = {}): StreamingDecoder {
    const { textSteps } = this.#config;
    if (textSteps) return createTextDecoder(textSteps, (id) => this.#textOf(id, skipSpecialTokens), continues);
    return createStreamingDecoder((id) => this.#bytesOf(id, skipSpecialTokens));
  }

  #textOf(id: number, skipSpecialTokens: boolean): string | undefined {
    checkId(id);
    if (skipSpecialTokens && this.#skipped.has(id)) return undefined;
    return this.#texts.get(id) ?? this.#tokens.get(id);
  }

  #bytesOf(id: number, skipSpecialTokens: boolean): Uint8Array {
    if (skipSpecialTokens && this.#skipped.has(id)) return NO_BYTES;
    const known = this.#bytes.get(id);
    if (known !== undefined) return known;
    checkId(id);
    const token = this.#tokens.get(id);
    if (token === undefined) return NO_BYTES;
    const bytes = tokenBytes(token);
    this.#bytes.set(id, bytes);
    return bytes;
  }
}

function checkId(id: number): void {
  if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) return;
  throw new TokenizerError('TOKENIZER_ARGUMENT', `A token id is an integer from 0 to ${MAX_ID}, not ${id}.`, { id });
}
