import { memorySource } from '../../packages/loaders/src/byte-source.ts';
import { openGguf } from '../../packages/loaders/src/gguf/file.ts';
import { parseGgufHeader } from '../../packages/loaders/src/gguf/header.ts';
import { GGML_TYPES, GGUF_LIMITS } from '../../packages/loaders/src/gguf/types.ts';
import {
  BOOL,
  F32,
  F64,
  type Field,
  gguf as fileOf,
  I32,
  type Layout,
  type Scalar,
  TEXT,
  type TensorInfo,
  U8,
  U32,
  U64,
} from '../../packages/loaders/test/gguf-writer.ts';
import { DEQUANTIZE } from '../../packages/tensor/src/dequantize.ts';
import type { Target } from '../fuzz.ts';
import type { Random } from '../random.ts';

const FIELDS: readonly Field[] = [
  ['general.architecture', TEXT, 'mamba'],
  ['general.alignment', U32, 32],
  ['mamba.block_count', U32, 6],
  ['wide', U64, 2n ** 40n],
  ['eps', F32, 1e-5],
  ['exact', F64, 0.1],
  ['flag', BOOL, true],
  ['tokenizer.ggml.tokens', [TEXT], ['a', 'ü', '']],
  ['tokenizer.ggml.token_type', [I32], [1, 3, -1]],
];

const TENSORS: readonly TensorInfo[] = [
  { name: 'token_embd.weight', dims: [8, 3], type: 1, data: new Uint8Array(48).fill(1) },
  { name: 'blk.0.ssm_a', dims: [4], type: 0, data: new Uint8Array(16).fill(2) },
  { name: 'blk.0.ssm_in.weight', dims: [32, 2], type: 8, data: new Uint8Array(68).fill(3) },
  { name: 'ids', dims: [1, 1, 3], type: 26, data: new Uint8Array(12).fill(4) },
];

/** One tensor of each type that weights are read from. */
const OF_EACH_TYPE: readonly TensorInfo[] = [...GGML_TYPES]
  .filter(([, { name }]) => DEQUANTIZE.has(name) || /^b?f\d/.test(name))
  .map(([type, { name, block, bytes }], i) => ({
    name: `of.${name}`,
    dims: [block, 1 + (i % 2)],
    type,
    data: new Uint8Array(bytes * (1 + (i % 2))).fill(i),
  }));

const MODELS: readonly { readonly fields: readonly Field[]; readonly tensors: readonly TensorInfo[] }[] = [
  { fields: FIELDS, tensors: TENSORS },
  { fields: FIELDS.slice(0, 3), tensors: OF_EACH_TYPE },
];
const SEEDS: readonly Uint8Array[] = MODELS.map(({ fields, tensors }) => fileOf(fields, tensors));
const declaredLength = (file: Uint8Array): number => {
  const { dataStart, tensors } = parseGgufHeader(file, file.length, 'a sound file')!;
  return dataStart + (tensors.at(-1)?.end ?? 0);
};
const HEADERS: readonly number[] = SEEDS.map((file) => parseGgufHeader(file, file.length, 'a seed')!.dataStart);
const LONGEST: number = Math.max(...HEADERS);

const NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 13, 31, 32, 33, 63, 64, 255, 256, 65535, 2 ** 31, 2 ** 32 - 1];
const WIDE = [
  0n,
  1n,
  2n,
  31n,
  32n,
  64n,
  1n << 20n,
  1n << 31n,
  1n << 32n,
  1n << 53n,
  1n << 62n,
  1n << 63n,
  (1n << 64n) - 1n,
];
const KEYS = ['', 'eps', 'general.alignment', 'general.architecture', '__proto__', 'ü', 'x'.repeat(70)];

/** One mutant: most change a field, a tensor or a count and write the rest as it should be; others change raw bytes. */
function mutate(random: Random, seed: number): Uint8Array {
  const next = (): number => random.next();
  const below = (n: number): number => random.below(n);
  const pick = <T>(list: readonly T[]): T => random.pick(list);
  if (next() < 0.2) {
    let bytes = SEEDS[seed]!.slice();
    const how = next();
    if (how < 0.3) return bytes.subarray(0, below(bytes.length + 1));
    if (how < 0.4) return Uint8Array.of(...bytes, ...new Uint8Array(1 + below(64)));
    if (how < 0.6) {
      const at = below(bytes.length);
      bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + 1 + below(16)));
    } else
      for (let n = 1 + below(3); n > 0; n--)
        bytes[4 + below(HEADERS[seed]! - 4)] = pick([0, 1, 2, 8, 9, 0x7f, 0x80, 0xff]);
    return bytes;
  }
  const fields: Field[] = [...MODELS[seed]!.fields];
  const tensors: TensorInfo[] = [...MODELS[seed]!.tensors];
  const layout: { -readonly [K in keyof Layout]: Layout[K] } = {};
  for (let n = 1 + below(next() < 0.7 ? 1 : 3); n > 0; n--) {
    const how = next();
    const f = below(fields.length);
    const t = below(tensors.length);
    const [key, type, value] = fields[f] ?? FIELDS[0]!;
    const tensor = tensors[t] ?? TENSORS[0]!;
    const change = (more: Partial<TensorInfo>): void => {
      tensors[t] = { ...tensor, ...more };
    };
    if (how < 0.08) fields[f] = [pick(KEYS), type, value];
    else if (how < 0.16 && typeof type === 'number' && type !== TEXT) fields[f] = [key, below(14), below(300)];
    else if (how < 0.2) fields[f] = [key, [below(14)], Array.from({ length: below(4) }, (): Scalar => below(2))];
    else if (how < 0.24) fields.splice(f, 1);
    else if (how < 0.28) fields.push(pick(fields));
    else if (how < 0.36) {
      const alignment = pick([0, 1, 2, 4, 8, 16, 32, 48, 64, 128]);
      fields[1] = ['general.alignment', U32, alignment];
      if (next() < 0.7 && alignment > 0) layout.alignment = alignment;
    } else if (how < 0.42) change({ name: pick([...KEYS, 'token_embd.weight', 'ids']) });
    else if (how < 0.52)
      change({ dims: tensor.dims.map((axis) => (next() < 0.5 ? pick([...NUMBERS, ...WIDE]) : axis)) });
    else if (how < 0.58) change({ dims: Array.from({ length: below(6) }, () => pick([1, 1, 2, 8, 32])) });
    else if (how < 0.68) change({ type: below(42) });
    else if (how < 0.78) change({ offset: next() < 0.7 ? 32 * below(10) : pick(WIDE) });
    else if (how < 0.84) change({ data: new Uint8Array(below(200)) });
    else if (how < 0.88) tensors.splice(t, 1);
    else if (how < 0.92) [tensors[t], tensors[0]] = [tensors[0]!, tensor];
    else if (how < 0.93) layout.version = pick([...NUMBERS, 0x3000000]);
    else if (how < 0.94) layout.magic = 'GGUf';
    else if (how < 0.97) layout.tensorCount = pick([...WIDE, 3n, 5n, 32_769n]);
    else layout.keyCount = pick([...WIDE, 8n, 10n, 65_537n]);
  }
  return fileOf(fields, tensors, layout);
}

/** More keys, or more tensors, than a reader should keep in memory. */
const manyKeys = (): Uint8Array =>
  fileOf(
    Array.from({ length: GGUF_LIMITS.keys + 1 }, (_, i): Field => [String(i), U8, 0]),
    [],
  );
const manyTensors = (): Uint8Array => {
  const tensor = { dims: [1], type: 24, offset: 0, data: new Uint8Array(0) };
  return fileOf(
    [],
    Array.from({ length: GGUF_LIMITS.tensors + 1 }, (_, i) => ({ ...tensor, name: String(i) })),
  );
};

async function read(file: Uint8Array): Promise<void> {
  const { tensors, dataStart } = await openGguf(memorySource('mutant', file));
  let at = dataStart;
  for (const { name, begin, end, shape, type } of tensors) {
    const elements = shape.reduce((product, axis) => product * axis, 1);
    const whole = (elements / type.block) * type.bytes === end - begin;
    if (dataStart + begin < at || !whole) throw new Error(`tensor ${name} was accepted wrongly`);
    at = dataStart + end;
  }
  if (tensors.length > 0 && at > file.length) throw new Error('a tensor past the end was accepted');
}

export const gguf: Target = {
  name: 'gguf',
  codes: [
    ...['MAGIC', 'VERSION', 'ENDIAN', 'TRUNCATED', 'TRAILING', 'UTF8', 'VALUE', 'DUPLICATE', 'ALIGNMENT', 'SHAPE'],
    ...['TENSOR_TYPE', 'OFFSET', 'OVERLAP', 'HOLE', 'LIMIT'],
  ].map((code) => `GGUF_${code}`),
  seeds: SEEDS,
  mutate,
  large: [manyKeys, manyTensors],
  // The format has one spelling for everything: its header is what it is made of, and its length.
  structure: (file) => `${file.length} ${new TextDecoder('latin1').decode(file.subarray(0, LONGEST))}`,
  fixture: /\.gguf$/,
  declaredLength,
  read,
};
