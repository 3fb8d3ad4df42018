import { MambaError } from '@mamba-ts/tensor';
import { LIMITS, SAFETENSORS_BITS, type SafetensorsDType } from './dtypes.ts';
import { JsonScanner } from './json-scanner.ts';

/** One tensor as its header declares it, checked. */
export interface SafetensorsTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  /** Row-major; `[]` is one element. */
  readonly shape: readonly number[];
  /** Bytes from the end of the header. */
  readonly begin: number;
  /** First byte behind it. */
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In file order. */
  readonly tensors: SafetensorsTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** A name for a message, cut to length. */
export const shownName = (name: string): string =>
  JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name);

/** Parses and checks a header, down to spans that lie one after another from 0 and have their shapes' sizes. */
export function parseHeader(bytes: Uint8Array, file: string): SafetensorsHeader {
  return new HeaderParser(bytes, file).parse();
}

/** Every span begins where the last one ended, so nothing overlaps and no byte goes undeclared. `file` is for messages. */
export function checkSpans(sorted: readonly SafetensorsTensor[], file: string): void {
  let expected = 0;
  for (const { name, begin, end } of sorted) {
    if (begin !== expected) {
      const [code, what] =
        begin < expected
          ? ['SAFETENSORS_OVERLAP', 'overlaps the one before']
          : ['SAFETENSORS_HOLE', 'leaves a hole before it'];
      throw new MambaError(
        code,
        `${file}: tensor ${shownName(name)} ${what}: it begins at byte ${begin} of the data, where ${expected} was expected`,
        { file, tensor: name, expected, found: begin },
      );
    }
    expected = end;
  }
}

class HeaderParser {
  readonly #json: JsonScanner;
  readonly #bytes: Uint8Array;
  readonly #file: string;
  readonly #tensors = new Map<string, SafetensorsTensor>();
  #metadata: Map<string, string> | null = null;
  #text = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.#json = new JsonScanner(bytes, file, ['dtype', 'shape', 'data_offsets', ...Object.keys(SAFETENSORS_BITS)]);
    this.#bytes = bytes;
    this.#file = file;
  }

  parse(): SafetensorsHeader {
    this.#checkUtf8();
    if (this.#bytes[0] !== 0x7b) this.#json.fail('"{"', 0);
    this.#json.object((name) => {
      if (name === '__metadata__') this.#parseMetadata();
      else this.#parseTensor(name);
    }, LIMITS.text);
    this.#json.end();
    const tensors = [...this.#tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end);
    checkSpans(tensors, this.#file);
    return { tensors, metadata: this.#metadata ?? new Map() };
  }

  #fail(code: string, message: string, details: Readonly<Record<string, unknown>> = {}): never {
    throw new MambaError(code, `${this.#file}: ${message}`, { file: this.#file, ...details });
  }

  /** Piece by piece: the header as one string would take up to twice its size. */
  #checkUtf8(): void {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const step = 1 << 16;
    for (let at = 0; at < this.#bytes.length; at += step) {
      try {
        decoder.decode(this.#bytes.subarray(at, at + step), { stream: at + step < this.#bytes.length });
      } catch {
        this.#fail(
          'SAFETENSORS_HEADER_UTF8',
          'the header is not UTF-8: the file is damaged or not a safetensors file',
          {
            from: at,
          },
        );
      }
    }
  }

  /** Counts what is kept, so that a header cannot fill the memory. */
  #keep(from: number): void {
    this.#text += this.#json.at - from;
    if (this.#text > LIMITS.text) {
      this.#fail(
        'SAFETENSORS_LIMIT',
        `names and metadata take more than ${LIMITS.text} bytes, which is not supported`,
        {
          limit: LIMITS.text,
        },
      );
    }
  }

  #parseMetadata(): void {
    if (this.#metadata) this.#fail('SAFETENSORS_METADATA', 'the header has two entries "__metadata__"');
    this.#metadata = new Map();
    if (this.#json.peek() !== '{') this.#fail('SAFETENSORS_METADATA', '"__metadata__" must be an object of texts');
    this.#json.object((key) => {
      if (this.#json.peek() !== '"') {
        this.#fail('SAFETENSORS_METADATA', `the metadata ${shownName(key)} must be a text`, { key });
      }
      const from = this.#json.at;
      const value = this.#json.string(LIMITS.text);
      this.#keep(from - key.length);
      if (this.#metadata!.has(key))
        this.#fail('SAFETENSORS_METADATA', `the metadata ${shownName(key)} occurs twice`, { key });
      this.#metadata!.set(key, value);
    }, LIMITS.text);
  }

  #parseTensor(name: string): void {
    if (this.#tensors.has(name)) {
      this.#fail('SAFETENSORS_DUPLICATE_NAME', `the header declares tensor ${shownName(name)} twice`, { tensor: name });
    }
    if (this.#tensors.size === LIMITS.tensors) {
      this.#fail('SAFETENSORS_LIMIT', `more than ${LIMITS.tensors} tensors in one file are not supported`, {
        limit: LIMITS.tensors,
      });
    }
    this.#keep(this.#json.at - name.length);
    if (this.#json.peek() !== '{') {
      this.#fail('SAFETENSORS_ENTRY', `tensor ${shownName(name)} must be an object of dtype, shape and data_offsets`, {
        tensor: name,
      });
    }
    const fields: { dtype?: SafetensorsDType; shape?: number[]; data_offsets?: number[] } = {};
    this.#json.object((field) => {
      if (field !== 'dtype' && field !== 'shape' && field !== 'data_offsets') {
        this.#json.skipValue(2);
        return;
      }
      if (fields[field]) {
        this.#fail('SAFETENSORS_ENTRY', `tensor ${shownName(name)} has two fields ${field}`, { tensor: name, field });
      }
      if (field === 'dtype') fields.dtype = this.#parseDType(name);
      else if (field === 'shape') fields.shape = this.#parseIntegers(name, 'SAFETENSORS_SHAPE', field, LIMITS.rank);
      else fields.data_offsets = this.#parseIntegers(name, 'SAFETENSORS_OFFSETS', field, 2);
    }, LIMITS.text);
    const { dtype, shape, data_offsets: offsets } = fields;
    if (!dtype || !shape || !offsets) {
      const missing = !dtype ? 'dtype' : !shape ? 'shape' : 'data_offsets';
      this.#fail('SAFETENSORS_ENTRY', `tensor ${shownName(name)} has no ${missing}`, { tensor: name, field: missing });
    }
    this.#tensors.set(name, this.#checkTensor(name, dtype, shape, offsets));
  }

  #parseDType(name: string): SafetensorsDType {
    const found = this.#json.peek() === '"' ? this.#json.string(LIMITS.text) : null;
    if (found !== null && Object.hasOwn(SAFETENSORS_BITS, found)) return found as SafetensorsDType;
    return this.#fail(
      'SAFETENSORS_DTYPE',
      `tensor ${shownName(name)} has the dtype ${found === null ? 'of a value that is no text' : shownName(found)}; known are ` +
        Object.keys(SAFETENSORS_BITS).join(', '),
      { tensor: name, found },
    );
  }

  #parseIntegers(name: string, code: string, field: string, most: number): number[] {
    const values: number[] = [];
    if (this.#json.peek() !== '[')
      this.#fail(code, `tensor ${shownName(name)}: ${field} must be a list`, { tensor: name });
    this.#json.array(() => {
      const value = this.#json.integer();
      if (Number.isNaN(value)) {
        this.#fail(
          code,
          `tensor ${shownName(name)}: ${field} must hold whole numbers from 0 to 2^53 - 1, written in digits`,
          {
            tensor: name,
          },
        );
      }
      if (values.length === most)
        this.#fail(code, `tensor ${shownName(name)}: ${field} has more than ${most} numbers`, { tensor: name });
      values.push(value);
    });
    return values;
  }

  #checkTensor(name: string, dtype: SafetensorsDType, shape: number[], offsets: number[]): SafetensorsTensor {
    const [begin, end] = offsets;
    if (begin === undefined || end === undefined || end < begin) {
      this.#fail(
        'SAFETENSORS_OFFSETS',
        `tensor ${shownName(name)}: data_offsets must be [begin, end], found [${offsets}]`,
        {
          tensor: name,
          found: offsets,
        },
      );
    }
    let elements = 1;
    for (const axis of shape) {
      elements *= axis;
      // Checked at each step: a zero further on does not heal an overflow.
      if (elements > Number.MAX_SAFE_INTEGER) this.#tooLarge(name, shape);
    }
    const bits = elements * SAFETENSORS_BITS[dtype];
    if (bits > Number.MAX_SAFE_INTEGER) this.#tooLarge(name, shape);
    if (bits % 8 !== 0 || bits / 8 !== end - begin) {
      this.#fail(
        'SAFETENSORS_SPAN',
        `tensor ${shownName(name)}: shape [${shape}] of ${dtype} takes ${bits / 8} bytes, but data_offsets [${begin}, ${end}] span ${end - begin}`,
        { tensor: name, expected: bits / 8, found: end - begin },
      );
    }
    return { name, dtype, shape, begin, end };
  }

  #tooLarge(name: string, shape: number[]): never {
    this.#fail(
      'SAFETENSORS_SHAPE',
      `tensor ${shownName(name)}: shape [${shape}] has more elements than any file can hold`,
      {
        tensor: name,
        found: shape,
      },
    );
  }
}
