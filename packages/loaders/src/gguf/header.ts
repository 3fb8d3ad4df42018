import { MambaError } from '@mamba-ts/tensor';
import { shownName } from '../safetensors/header.ts';
import { GGML_TYPES, GGUF_LIMITS, type GgmlType } from './types.ts';

type Scalar = number | bigint | boolean | string;

/** A value of the metadata. Whole numbers of 64 bits are numbers where these hold them exactly. */
export type GgufValue = Scalar | readonly Scalar[];

/** One tensor as its header declares it, checked. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Row-major, the contiguous axis last; the file lists the axes in reverse. */
  readonly shape: readonly number[];
  /** Bytes from the start of the data. */
  readonly begin: number;
  readonly end: number;
}

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of their bytes. */
  readonly tensors: readonly GgufTensor[];
  /** Bytes from the start of the file to the first tensor. */
  readonly dataStart: number;
}

/** Thrown inside where the bytes at hand end before the file does. */
const MORE: unique symbol = Symbol('more bytes');

/** A type of metadata: its name, its least number of bytes, and its reader. */
interface ValueType {
  readonly name: string;
  readonly bytes: number;
  readonly read: (parser: HeaderParser) => Scalar;
}

const value = (name: string, bytes: number, read: (parser: HeaderParser) => Scalar): ValueType => ({
  name,
  bytes,
  read,
});

const whole = (wide: bigint): number | bigint => {
  const narrow = Number(wide);
  return Number.isSafeInteger(narrow) ? narrow : wide;
};

const ARRAY = 9;
const UINT32 = 4;
const VALUE_TYPES: ReadonlyMap<number, ValueType> = new Map([
  [0, value('u8', 1, (p) => p.view.getUint8(p.take(1)))],
  [1, value('i8', 1, (p) => p.view.getInt8(p.take(1)))],
  [2, value('u16', 2, (p) => p.view.getUint16(p.take(2), true))],
  [3, value('i16', 2, (p) => p.view.getInt16(p.take(2), true))],
  [UINT32, value('u32', 4, (p) => p.uint32())],
  [5, value('i32', 4, (p) => p.view.getInt32(p.take(4), true))],
  [6, value('f32', 4, (p) => p.view.getFloat32(p.take(4), true))],
  [7, value('bool', 1, (p) => p.flag())],
  [8, value('string', 8, (p) => p.text('a text', GGUF_LIMITS.header))],
  [10, value('u64', 8, (p) => whole(p.view.getBigUint64(p.take(8), true)))],
  [11, value('i64', 8, (p) => whole(p.view.getBigInt64(p.take(8), true)))],
  [12, value('f64', 8, (p) => p.view.getFloat64(p.take(8), true))],
]);

/**
 * Parses a header from the first bytes of a file of `size` bytes; null where it needs more of them. `file` is for
 * messages. Errors as `openGguf` says.
 */
export function parseGgufHeader(bytes: Uint8Array, size: number, file: string): GgufHeader | null {
  try {
    return new HeaderParser(bytes, size, file).parse();
  } catch (error) {
    if (error === MORE) return null;
    throw error;
  }
}

class HeaderParser {
  readonly view: DataView;
  readonly #bytes: Uint8Array;
  readonly #size: number;
  readonly #file: string;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #at = 0;
  #elements = 0;

  constructor(bytes: Uint8Array, size: number, file: string) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#bytes = bytes;
    this.#size = size;
    this.#file = file;
  }

  parse(): GgufHeader {
    const magic = this.take(4);
    if (this.view.getUint32(magic, true) !== 0x46554747) {
      this.#fail('GGUF_MAGIC', 'it does not begin with "GGUF": it is damaged or of another format', {});
    }
    const version = this.uint32();
    if (version !== 2 && version !== 3) {
      if (version >>> 0 >= 0x1000000 && (version & 0xffff) === 0) {
        this.#fail('GGUF_ENDIAN', 'it is big-endian; only little-endian files are read. Convert it.', { version });
      }
      this.#fail('GGUF_VERSION', `it is of version ${version}; 2 and 3 are read`, { found: version });
    }
    // A tensor takes at least 8 + 4 + 8 + 4 + 8 bytes, a key 8 + 4 + 1.
    const tensorCount = this.count('tensors', GGUF_LIMITS.tensors, 32);
    const keyCount = this.count('keys', GGUF_LIMITS.keys, 13);
    const metadata = this.#parseMetadata(keyCount);
    const alignment = (metadata.get('general.alignment') as number | undefined) ?? 32;
    const tensors = this.#parseTensors(tensorCount, alignment);
    const padding = (alignment - (this.#at % alignment)) % alignment;
    const dataStart = this.#at + padding;
    this.#checkSpans(tensors, dataStart, alignment);
    return { metadata, tensors, dataStart };
  }

  /** The place of the next `length` bytes; passes them. */
  take(length: number): number {
    const at = this.#at;
    this.#has(length);
    this.#at += length;
    return at;
  }

  uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  flag(): boolean {
    const byte = this.view.getUint8(this.take(1));
    if (byte > 1) this.#fail('GGUF_VALUE', `a bool before byte ${this.#at} is ${byte}, neither 0 nor 1`, {});
    return byte === 1;
  }

  /** A number of 64 bits that counts things of at least `each` bytes, which must fit into what is left of the file. */
  count(what: string, limit: number, each: number): number {
    const wide = this.view.getBigUint64(this.take(8), true);
    const left = this.#size - this.#at;
    if (wide * BigInt(each) > BigInt(left)) {
      throw this.#truncated(`${wide} ${what} of at least ${each} bytes each are declared before byte ${this.#at}`);
    }
    const narrow = Number(wide);
    if (narrow > limit) {
      this.#fail('GGUF_LIMIT', `${narrow} ${what} are declared before byte ${this.#at}; at most ${limit} are read`, {
        limit,
        found: narrow,
      });
    }
    return narrow;
  }

  text(what: string, limit: number): string {
    const length = this.count(`bytes of ${what}`, limit, 1);
    const at = this.take(length);
    try {
      return this.#utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.#fail('GGUF_UTF8', `${what} at byte ${at} is not UTF-8`, { offset: at });
    }
  }

  #has(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    if (this.#at + length > this.#size) throw this.#truncated(`the header goes on after byte ${this.#at}`);
    throw MORE;
  }

  #truncated(what: string): MambaError {
    return new MambaError(
      'GGUF_TRUNCATED',
      `${this.#file} has ${this.#size} bytes, but ${what}: the end is missing. Was it downloaded whole?`,
      { file: this.#file, found: this.#size },
    );
  }

  #fail(code: string, message: string, details: Readonly<Record<string, unknown>>): never {
    throw new MambaError(code, `${this.#file}: ${message}`, { file: this.#file, ...details });
  }

  #parseMetadata(count: number): Map<string, GgufValue> {
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < count; i++) {
      const key = this.text('a key', GGUF_LIMITS.key);
      if (metadata.has(key)) this.#fail('GGUF_DUPLICATE', `the key ${shownName(key)} is there twice`, { key });
      const type = this.uint32();
      const found = type === ARRAY ? this.#parseArray(key) : this.#valueType(type, key).read(this);
      if (key === 'general.alignment') this.#checkAlignment(found, type);
      metadata.set(key, found);
    }
    return metadata;
  }

  #valueType(type: number, key: string): ValueType {
    const known = VALUE_TYPES.get(type);
    if (known) return known;
    const what = type === ARRAY ? 'an array of arrays, which no tool writes' : `of type ${type}; 0 to 12 are known`;
    return this.#fail('GGUF_VALUE', `the value of ${shownName(key)} is ${what}`, { key, type });
  }

  #parseArray(key: string): Scalar[] {
    const type = this.#valueType(this.uint32(), key);
    const left = GGUF_LIMITS.elements - this.#elements;
    const count = this.count(`elements of ${shownName(key)}`, left, type.bytes);
    this.#elements += count;
    // Not `new Array(count)`: what is not there yet takes no memory.
    const out: Scalar[] = [];
    for (let i = 0; i < count; i++) out.push(type.read(this));
    return out;
  }

  #checkAlignment(found: GgufValue, type: number): void {
    if (type === UINT32 && typeof found === 'number' && found > 0 && Number.isInteger(Math.log2(found))) return;
    this.#fail('GGUF_ALIGNMENT', `general.alignment must be a power of two (u32), found ${String(found)}`, {
      found,
    });
  }

  #parseTensors(count: number, alignment: number): GgufTensor[] {
    const names = new Set<string>();
    const tensors: GgufTensor[] = [];
    for (let i = 0; i < count; i++) {
      const name = this.text("a tensor's name", GGUF_LIMITS.name);
      const tensor = shownName(name);
      if (names.has(name)) this.#fail('GGUF_DUPLICATE', `two tensors are called ${tensor}`, { tensor: name });
      names.add(name);
      const rank = this.uint32();
      if (rank < 1 || rank > GGUF_LIMITS.rank) {
        this.#fail('GGUF_SHAPE', `tensor ${tensor} has ${rank} axes; 1 to ${GGUF_LIMITS.rank} are possible`, {
          tensor: name,
          found: rank,
        });
      }
      const axes = Array.from({ length: rank }, () => this.view.getBigUint64(this.take(8), true));
      const id = this.uint32();
      const type = GGML_TYPES.get(id);
      if (!type) {
        this.#fail('GGUF_TENSOR_TYPE', `tensor ${tensor} has the unknown element type ${id}`, {
          tensor: name,
          found: id,
        });
      }
      const bytes = this.#byteLength(name, axes, type);
      const offset = this.view.getBigUint64(this.take(8), true);
      if (offset % BigInt(alignment) !== 0n) {
        this.#fail('GGUF_OFFSET', `tensor ${tensor} begins at ${offset}, not a multiple of ${alignment}`, {
          tensor: name,
          alignment,
        });
      }
      if (offset + bytes > BigInt(this.#size)) {
        throw this.#truncated(`tensor ${tensor} takes ${bytes} bytes from byte ${offset} of the data`);
      }
      const begin = Number(offset);
      tensors.push({ name, type, shape: axes.map(Number).reverse(), begin, end: begin + Number(bytes) });
    }
    return tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  }

  /** Of a tensor; in whole numbers of any size, because the axes are anyone's. */
  #byteLength(name: string, axes: readonly bigint[], type: GgmlType): bigint {
    const elements = axes.reduce((product, axis) => product * axis, 1n);
    if (elements === 0n || elements > BigInt(Number.MAX_SAFE_INTEGER)) {
      this.#fail('GGUF_SHAPE', `tensor ${shownName(name)} has the impossible axes [${axes}]`, { tensor: name });
    }
    if (axes[0]! % BigInt(type.block) !== 0n) {
      this.#fail(
        'GGUF_SHAPE',
        `the rows of tensor ${shownName(name)} have ${axes[0]} elements, which blocks of ${type.block} (${type.name}) do not divide`,
        { tensor: name, block: type.block },
      );
    }
    return (elements / BigInt(type.block)) * BigInt(type.bytes);
  }

  /** Every span begins where the last one ended, rounded up, and the last one ends with the file. */
  #checkSpans(tensors: readonly GgufTensor[], dataStart: number, alignment: number): void {
    let expected = 0;
    let end = 0;
    for (const { name, begin, end: next } of tensors) {
      if (begin !== expected) {
        const [code, what] =
          begin < expected ? ['GGUF_OVERLAP', 'overlaps the one before'] : ['GGUF_HOLE', 'leaves a hole before it'];
        const message = `tensor ${shownName(name)} ${what}: it begins at byte ${begin} of the data, where ${expected} was expected`;
        this.#fail(code, message, { tensor: name, expected, found: begin });
      }
      end = next;
      expected = Math.ceil(end / alignment) * alignment;
    }
    // A file without tensors may end without padding.
    if (end > 0 && dataStart + end > this.#size) throw this.#truncated(`its tensors end at byte ${dataStart + end}`);
    if (dataStart + expected < this.#size) {
      const message = `it has ${this.#size} bytes, but its tensors end at byte ${dataStart + expected}: the rest belongs to none of them`;
      this.#fail('GGUF_TRAILING', message, { expected: dataStart + expected, found: this.#size });
    }
  }
}
