/** Writes GGUF files for tests, right ones and wrong ones: nothing here is checked. */

export type Scalar = number | bigint | boolean | string;
/** `[key, type, value]`; an array's type is `[type of elements]`. */
export type Field = readonly [string | Uint8Array, number | readonly [number], Scalar | readonly Scalar[]];

export interface TensorInfo {
  readonly name: string;
  /** As the file has them: the contiguous axis first. */
  readonly dims: readonly (number | bigint)[];
  /** ggml_type. */
  readonly type: number;
  /** Where the data begins; after the last tensor's, aligned, unless told otherwise. */
  readonly offset?: number | bigint;
  readonly data: Uint8Array;
}

export interface Layout {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: bigint;
  readonly keyCount?: bigint;
  readonly alignment?: number;
  readonly bigEndian?: boolean;
}

export const [U8, , U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
] as const;

class Bytes {
  readonly #parts: Uint8Array[] = [];
  #length = 0;
  readonly #little: boolean;

  constructor(little: boolean) {
    this.#little = little;
  }

  get length(): number {
    return this.#length;
  }

  number(bytes: number, set: (view: DataView, little: boolean) => void): void {
    const view = new DataView(new ArrayBuffer(bytes));
    set(view, this.#little);
    this.raw(new Uint8Array(view.buffer));
  }

  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }

  pad(alignment: number): void {
    this.raw(new Uint8Array((alignment - (this.#length % alignment)) % alignment));
  }

  u32(value: number): void {
    this.number(4, (view, little) => view.setUint32(0, value, little));
  }

  u64(value: number | bigint): void {
    this.number(8, (view, little) => view.setBigUint64(0, BigInt(value), little));
  }

  text(value: string | Uint8Array): void {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    this.u64(bytes.length);
    this.raw(bytes);
  }

  scalar(type: number, value: Scalar): void {
    if (type === TEXT) this.text(String(value));
    else if (type === U64 || type === I64) this.number(8, (v, l) => v.setBigInt64(0, BigInt(value), l));
    else if (type === F32) this.number(4, (v, l) => v.setFloat32(0, value as number, l));
    else if (type === F64) this.number(8, (v, l) => v.setFloat64(0, value as number, l));
    else if (type === U32 || type === I32) this.number(4, (v, l) => v.setInt32(0, Number(value), l));
    else if (type === U16 || type === I16) this.number(2, (v, l) => v.setInt16(0, Number(value), l));
    else this.number(1, (v) => v.setInt8(0, Number(value)));
  }

  done(): Uint8Array {
    const out = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

export function gguf(fields: readonly Field[], tensors: readonly TensorInfo[], layout: Layout = {}): Uint8Array {
  const { magic = 'GGUF', version = 3, alignment = 32, bigEndian = false } = layout;
  const out = new Bytes(!bigEndian);
  out.raw(new TextEncoder().encode(magic));
  out.u32(version);
  out.u64(layout.tensorCount ?? tensors.length);
  out.u64(layout.keyCount ?? fields.length);
  for (const [key, type, value] of fields) {
    out.text(key);
    out.u32(typeof type === 'number' ? type : ARRAY);
    if (typeof type === 'number') out.scalar(type, value as Scalar);
    else {
      out.u32(type[0]);
      out.u64((value as Scalar[]).length);
      for (const each of value as Scalar[]) out.scalar(type[0], each);
    }
  }
  let next = 0;
  for (const { name, dims, type, offset, data } of tensors) {
    out.text(name);
    out.u32(dims.length);
    for (const axis of dims) out.u64(axis);
    out.u32(type);
    out.u64(offset ?? next);
    next = Math.ceil((next + data.length) / alignment) * alignment;
  }
  for (const { data } of tensors) {
    out.pad(alignment);
    out.raw(data);
  }
  out.pad(alignment);
  return out.done();
}
