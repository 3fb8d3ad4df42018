import { MambaError } from '@mamba-ts/tensor';

/** Nesting that the reference reader (serde_json) allows: 127 open brackets. */
const MAX_DEPTH = 127;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const ESCAPES: Readonly<Record<number, string>> = {
  34: '"',
  92: '\\',
  47: '/',
  98: '\b',
  102: '\f',
  110: '\n',
  114: '\r',
  116: '\t',
};

/**
 * Reads JSON straight from bytes that are known to be UTF-8, token by token, so that the caller sees duplicate keys,
 * how numbers are spelled, and decides what is kept. `JSON.parse` would hide the first two and hold everything.
 *
 * As strict as the reference reader: lone surrogates in escapes, control characters in strings and numbers out of range
 * are refused, in skipped values too. Every malformation throws `SAFETENSORS_HEADER_JSON` with the byte it is at.
 */
export class JsonScanner {
  /** The next byte. */
  at: number = 0;
  readonly #bytes: Uint8Array;
  readonly #file: string;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** By length. */
  readonly #words: ReadonlyMap<number, readonly string[]>;

  /** `words`: strings that are expected often. */
  constructor(bytes: Uint8Array, file: string, words: readonly string[] = []) {
    this.#words = Map.groupBy(words, (word) => word.length);
    this.#bytes = bytes;
    this.#file = file;
  }

  fail(expected: string, at: number = this.at): never {
    const byte = this.#bytes[at];
    const found =
      byte === undefined
        ? 'the end'
        : byte > 0x20 && byte < 0x7f
          ? `"${String.fromCharCode(byte)}"`
          : `the byte ${byte}`;
    throw new MambaError(
      'SAFETENSORS_HEADER_JSON',
      `${this.#file}: the header is not valid JSON: at its byte ${at}, ${expected} was expected and ${found} was found. ` +
        'The file is damaged or not a safetensors file.',
      { file: this.#file, at },
    );
  }

  skipSpace(): void {
    for (; ; this.at++) {
      const byte = this.#bytes[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
    }
  }

  /** The next byte that is not space, without taking it. */
  peek(): string {
    this.skipSpace();
    const byte = this.#bytes[this.at];
    return byte === undefined ? '' : String.fromCharCode(byte);
  }

  /** Takes one punctuation mark. */
  expect(mark: string): void {
    if (this.peek() !== mark) this.fail(`"${mark}"`);
    this.at++;
  }

  end(): void {
    if (this.peek() !== '') this.fail('nothing more but spaces');
  }

  /** Calls `member` at each value of the object that starts here; `member` must take the value. */
  object(member: (key: string) => void, maxKey: number = Number.POSITIVE_INFINITY): void {
    this.expect('{');
    if (this.peek() === '}') {
      this.at++;
      return;
    }
    while (true) {
      if (this.peek() !== '"') this.fail('a name in quotes');
      const key = this.string(maxKey);
      this.expect(':');
      this.skipSpace();
      member(key);
      if (this.peek() === '}') break;
      if (this.peek() !== ',') this.fail('"," or "}"');
      this.at++;
    }
    this.at++;
  }

  /** Calls `element` at each value of the array that starts here; `element` must take the value. */
  array(element: () => void): void {
    this.expect('[');
    if (this.peek() === ']') {
      this.at++;
      return;
    }
    while (true) {
      this.skipSpace();
      element();
      if (this.peek() === ']') break;
      if (this.peek() !== ',') this.fail('"," or "]"');
      this.at++;
    }
    this.at++;
  }

  /** The string that starts here, of at most `maxBytes` bytes as written: a longer one throws `SAFETENSORS_LIMIT`. */
  string(maxBytes: number = Number.POSITIVE_INFINITY): string {
    if (this.peek() !== '"') this.fail('a string');
    const start = this.at + 1;
    this.skipString();
    const end = this.at - 1;
    if (end - start > maxBytes) {
      throw new MambaError(
        'SAFETENSORS_LIMIT',
        `${this.#file}: the header holds a name or text of ${end - start} bytes at its byte ${start}; at most ${maxBytes} fit`,
        { file: this.#file, at: start, limit: maxBytes, found: end - start },
      );
    }
    const raw = this.#text(start, end);
    if (!raw.includes('\\')) return raw;
    return raw.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, mark: string) =>
      hex ? String.fromCharCode(Number.parseInt(hex, 16)) : ESCAPES[mark.charCodeAt(0)]!,
    );
  }

  /** Field names and dtypes, which are most of a header's strings, cost no decoding and no memory. */
  #text(start: number, end: number): string {
    for (const word of this.#words.get(end - start) ?? []) {
      let i = 0;
      while (i < word.length && word.charCodeAt(i) === this.#bytes[start + i]) i++;
      if (i === word.length) return word;
    }
    return this.#decoder.decode(this.#bytes.subarray(start, end));
  }

  /** Checks the string that starts here and passes it. */
  skipString(): void {
    const bytes = this.#bytes;
    if (bytes[this.at] !== QUOTE) this.fail('a string');
    this.at++;
    while (true) {
      const byte = bytes[this.at];
      if (byte === undefined || byte < 0x20) this.fail('the rest of a string');
      this.at++;
      if (byte === QUOTE) return;
      if (byte === BACKSLASH) this.#skipEscape();
    }
  }

  #skipEscape(): void {
    const mark = this.#bytes[this.at];
    if (mark !== 0x75 /* u */) {
      if (mark === undefined || ESCAPES[mark] === undefined) this.fail('an escape');
      this.at++;
      return;
    }
    this.at++;
    const unit = this.#hex4();
    if (unit >= 0xdc00 && unit < 0xe000) this.fail('a leading surrogate before this trailing one', this.at - 6);
    if (unit < 0xd800 || unit >= 0xdc00) return;
    if (this.#bytes[this.at] !== BACKSLASH || this.#bytes[this.at + 1] !== 0x75) this.fail('a trailing surrogate');
    this.at += 2;
    const trailing = this.#hex4();
    if (trailing < 0xdc00 || trailing >= 0xe000) this.fail('a trailing surrogate', this.at - 4);
  }

  #hex4(): number {
    let value = 0;
    for (let i = 0; i < 4; i++, this.at++) {
      const byte = this.#bytes[this.at] ?? 0;
      const digit =
        byte >= 0x30 && byte <= 0x39
          ? byte - 0x30
          : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66
            ? (byte | 0x20) - 0x57
            : -1;
      if (digit < 0) this.fail('a hexadecimal digit');
      value = value * 16 + digit;
    }
    return value;
  }

  /**
   * The whole number at the cursor as the reference reader takes it: digits only, no sign, point or exponent, no
   * leading zero. NaN where something else stands there or it is above 2^53 - 1; the cursor then stays.
   */
  integer(): number {
    this.skipSpace();
    const start = this.at;
    let value = 0;
    let end = start;
    for (; ; end++) {
      const byte = this.#bytes[end];
      if (byte === undefined || byte < 0x30 || byte > 0x39) break;
      value = value * 10 + (byte - 0x30);
      if (value > Number.MAX_SAFE_INTEGER) return Number.NaN;
    }
    const next = this.#bytes[end];
    const leadingZero = end - start > 1 && this.#bytes[start] === 0x30;
    if (end === start || leadingZero || next === 0x2e || next === 0x65 || next === 0x45) return Number.NaN;
    this.at = end;
    return value;
  }

  /** Checks any value, keeps nothing of it. `depth`: brackets that are open already. */
  skipValue(depth: number): void {
    const closers: number[] = [];
    let wantValue = true;
    while (true) {
      this.skipSpace();
      if (wantValue) {
        const byte = this.#bytes[this.at];
        if (byte === 0x5b || byte === 0x7b) {
          if (depth + closers.length >= MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} open brackets`);
          this.at++;
          const close = byte + 2; // ] follows [ and } follows { by two
          this.skipSpace();
          if (this.#bytes[this.at] === close) {
            this.at++;
            wantValue = false;
          } else {
            closers.push(close);
            if (close === 0x7d) this.#skipKey();
            continue;
          }
        } else this.#skipScalar();
        wantValue = false;
      }
      const close = closers.at(-1);
      if (close === undefined) return;
      this.skipSpace();
      const byte = this.#bytes[this.at];
      if (byte === close) {
        closers.pop();
        this.at++;
      } else if (byte === 0x2c) {
        this.at++;
        if (close === 0x7d) this.#skipKey();
        wantValue = true;
      } else this.fail(`"," or "${String.fromCharCode(close)}"`);
    }
  }

  #skipKey(): void {
    this.skipSpace();
    this.skipString();
    this.expect(':');
  }

  #skipScalar(): void {
    const byte = this.#bytes[this.at];
    if (byte === QUOTE) {
      this.skipString();
      return;
    }
    for (const word of ['true', 'false', 'null']) {
      if (byte === word.charCodeAt(0)) {
        for (let i = 1; i < word.length; i++) {
          if (this.#bytes[this.at + i] !== word.charCodeAt(i)) this.fail(word, this.at + i);
        }
        this.at += word.length;
        return;
      }
    }
    this.#skipNumber();
  }

  #skipNumber(): void {
    const start = this.at;
    const digits = (): number => {
      const first = this.at;
      for (; ; this.at++) {
        const byte = this.#bytes[this.at] ?? 0;
        if (byte < 0x30 || byte > 0x39) break;
      }
      if (this.at === first) this.fail('a value');
      return this.at - first;
    };
    if (this.#bytes[this.at] === 0x2d) this.at++;
    const first = this.at;
    if (digits() > 1 && this.#bytes[first] === 0x30) this.fail('a number without leading zero', first);
    if (this.#bytes[this.at] === 0x2e) {
      this.at++;
      digits();
    }
    if ((this.#bytes[this.at] ?? 0) === 0x65 || this.#bytes[this.at] === 0x45) {
      this.at++;
      if (this.#bytes[this.at] === 0x2b || this.#bytes[this.at] === 0x2d) this.at++;
      digits();
    }
    // The reference refuses what overflows f64; its rounding next to that border is its own, so ours stands before it.
    if (this.at - start > 400) this.fail('a shorter number', start);
    const value = Number(this.#decoder.decode(this.#bytes.subarray(start, this.at)));
    if (Math.abs(value) > 1e300) this.fail('a number in range', start);
  }
}
