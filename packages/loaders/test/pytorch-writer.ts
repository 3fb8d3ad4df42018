import { crc32 } from '@mamba-ts/tensor';

// Writes PyTorch checkpoints for tests, right ones and wrong ones: nothing here is checked.

const encoder = new TextEncoder();

/** One opcode with its argument. */
export type Op = Uint8Array;

/** Bytes of opcodes, numbers and ASCII texts one after another. */
export function op(...parts: readonly (number | string)[]): Op {
  const bytes: number[] = [];
  for (const part of parts) {
    if (typeof part === 'number') bytes.push(part);
    else for (let i = 0; i < part.length; i++) bytes.push(part.charCodeAt(i));
  }
  return Uint8Array.from(bytes);
}

const u32 = (value: number): number[] => [value, value >>> 8, value >>> 16, value >>> 24].map((byte) => byte & 255);

/** BININT where it is of 32 bits, else LONG1 of 64. */
export function int(value: number | bigint): Op {
  if (BigInt.asIntN(32, BigInt(value)) === BigInt(value)) return op(0x4a, ...u32(Number(value)));
  const bytes: number[] = [];
  for (let i = 0n; i < 8n; i++) bytes.push(Number((BigInt(value) >> (8n * i)) & 255n));
  return long(...bytes);
}

/** LONG1 of as many bytes as are given. */
export const long = (...bytes: readonly number[]): Op => op(0x8a, bytes.length, ...bytes);

export function float(value: number): Op {
  const out = new Uint8Array(9);
  out[0] = 0x47;
  new DataView(out.buffer).setFloat64(1, value, false);
  return out;
}

export function text(value: string): Op {
  const bytes = encoder.encode(value);
  return joined([op(0x58, ...u32(bytes.length)), bytes]);
}

export const global = (module: string, name: string): Op => op('c', module, '\n', name, '\n');

export interface Storage {
  /** `FloatStorage` */
  readonly type: string;
  readonly key: string;
  readonly data: Uint8Array;
  readonly numel: number | bigint;
}

export interface View {
  readonly name: string;
  readonly storage: Storage;
  readonly offset: Op;
  readonly shape: readonly Op[];
  readonly stride: readonly Op[];
  readonly parameter?: boolean;
}

/** Each item may take several opcodes. */
const tuple = (...items: readonly (Op | readonly Op[])[]): Op[] => {
  const ops = items.flatMap((item) => (item instanceof Uint8Array ? [item] : item));
  if (items.length === 0) return [op(')')];
  return items.length < 4 ? [...ops, op(0x84 + items.length)] : [op('('), ...ops, op('t')];
};

const EMPTY_ORDERED: readonly Op[] = [global('collections', 'OrderedDict'), op(')'), op('R')];

/** The opcodes of a tensor, as `torch.save` writes them. */
export function viewOps({ storage: { type, key, numel }, offset, shape, stride, parameter }: View): Op[] {
  const id = tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(numel));
  const args = tuple([...id, op('Q')], offset, tuple(...shape), tuple(...stride), op(0x89), EMPTY_ORDERED);
  const rebuilt = [global('torch._utils', '_rebuild_tensor_v2'), ...args, op('R')];
  if (!parameter) return rebuilt;
  return [global('torch._utils', '_rebuild_parameter'), ...tuple(rebuilt, op(0x88), EMPTY_ORDERED), op('R')];
}

/** The opcodes of a dictionary of tensors: `torch.save(OrderedDict(...))`, or of a trainer's that holds it. */
export function stateOps(views: readonly View[], trainer: boolean): Op[] {
  const items = views.flatMap((view) => [text(view.name), ...viewOps(view)]);
  const state = [...EMPTY_ORDERED, op('q', 0), op('('), ...items, op('u')];
  const named = [...state, op('}'), text('_metadata'), ...EMPTY_ORDERED, op('s'), op('b')];
  const outer = trainer
    ? [op('}'), op('('), text('state_dict'), ...named, text('lr'), float(0.5), text('step'), int(3), op('u')]
    : named;
  return [op(0x80, 2), ...outer, op('.')];
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A file in the archive. What is not given is as it should be. */
export interface ZipFile {
  readonly name: string;
  readonly data: Uint8Array;
  readonly localName?: string;
  readonly crc?: number;
  readonly method?: number;
  readonly flags?: number;
  readonly bytes?: number;
  readonly packed?: number;
  readonly header?: number;
  readonly localExtra?: number;
  readonly localMagic?: number;
  readonly extra?: Uint8Array;
  /** Of DOS: 16 is a folder. */
  readonly attributes?: number;
}

export interface ZipLayout {
  readonly count?: number;
  readonly total?: number;
  readonly size?: number;
  readonly offset?: number;
  readonly disk?: number;
  readonly comment?: number;
  readonly zip64?: {
    readonly place?: bigint;
    readonly count?: bigint;
    readonly size?: bigint;
    readonly offset?: bigint;
  };
  /** Bytes between the files. */
  readonly gap?: number;
}

type Field = readonly [bytes: 2 | 4 | 8, value: number | bigint];

function record(fields: readonly Field[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((sum, [bytes]) => sum + bytes, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, Number(value), true);
    else if (bytes === 4) view.setUint32(at, Number(value), true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bytes;
  }
  return out;
}

export function zip(files: readonly ZipFile[], layout: ZipLayout = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const put = (part: Uint8Array): void => {
    parts.push(part);
    at += part.length;
  };
  for (const file of files) {
    const { data, method = 0, flags = 0, bytes = data.length, packed = bytes, crc = crc32(data), extra } = file;
    const name = encoder.encode(file.name);
    const local = encoder.encode(file.localName ?? file.name);
    const header = at;
    // version, flags, method, time and date, crc, sizes, lengths of name and extra
    const alike: Field[] = [
      [2, 0],
      [2, flags],
      [2, method],
      [4, 0],
      [4, crc],
      [4, packed],
      [4, bytes],
    ];
    put(record([[4, file.localMagic ?? 0x04034b50], ...alike, [2, local.length], [2, file.localExtra ?? 0]]));
    put(local);
    put(data);
    if (layout.gap) put(new Uint8Array(layout.gap));
    const lengths: Field[] = [
      [2, name.length],
      [2, extra?.length ?? 0],
      [2, 0],
    ];
    directory.push(
      record([
        [4, 0x02014b50],
        [2, 0],
        ...alike,
        ...lengths,
        [2, 0],
        [2, 0],
        [4, file.attributes ?? 0],
        [4, file.header ?? header],
      ]),
    );
    directory.push(name);
    if (extra) directory.push(extra);
  }
  const offset = at;
  for (const part of directory) put(part);
  const size = at - offset;
  const { zip64, count = files.length, total = count } = layout;
  if (zip64) {
    const place = at;
    const counts: Field[] = [
      [8, zip64.count ?? BigInt(files.length)],
      [8, zip64.count ?? BigInt(files.length)],
    ];
    const span: Field[] = [
      [8, zip64.size ?? BigInt(size)],
      [8, zip64.offset ?? BigInt(offset)],
    ];
    put(record([[4, 0x06064b50], [8, 44], [2, 0], [2, 0], [4, 0], [4, 0], ...counts, ...span]));
    put(
      record([
        [4, 0x07064b50],
        [4, 0],
        [8, zip64.place ?? BigInt(place)],
        [4, 1],
      ]),
    );
  }
  const span: Field[] = zip64
    ? [
        [4, 0xffffffff],
        [4, 0xffffffff],
      ]
    : [
        [4, layout.size ?? size],
        [4, layout.offset ?? offset],
      ];
  const counts: Field[] = zip64
    ? [
        [2, 0xffff],
        [2, 0xffff],
      ]
    : [
        [2, count],
        [2, total],
      ];
  put(record([[4, 0x06054b50], [2, layout.disk ?? 0], [2, 0], ...counts, ...span, [2, layout.comment ?? 0]]));
  return joined(parts);
}

/** The files of an archive of these opcodes and storages, in PyTorch's order. */
export function archiveFiles(ops: readonly Op[], storages: readonly Storage[]): ZipFile[] {
  return [
    { name: 'archive/data.pkl', data: joined(ops) },
    { name: 'archive/byteorder', data: encoder.encode('little') },
    ...storages.map(({ key, data }) => ({ name: `archive/data/${key}`, data })),
    { name: 'archive/version', data: encoder.encode('3\n') },
  ];
}
