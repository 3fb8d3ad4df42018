import { memorySource } from '../../packages/loaders/src/byte-source.ts';
import { LIMITS, SAFETENSORS_BITS } from '../../packages/loaders/src/safetensors/dtypes.ts';
import { openSafetensors } from '../../packages/loaders/src/safetensors/file.ts';
import type { Target } from '../fuzz.ts';
import { parseTree, printTree } from '../json-tree.ts';
import { mutateJson, treeOf, type Vocabulary } from '../mutate-json.ts';
import type { Random } from '../random.ts';

/** A file of these header entries, each `name: [dtype, shape]`, laid out in order; all bytes of data are `fill`. */
export function fileOf(
  tensors: Readonly<Record<string, readonly [string, readonly number[]]>>,
  metadata?: object,
  fill = 1,
): Uint8Array {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, [dtype, shape]]) => {
    const bits = SAFETENSORS_BITS[dtype as keyof typeof SAFETENSORS_BITS];
    const begin = end;
    end += shape.reduce((product, axis) => product * axis, bits) / 8;
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const;
  });
  const header = JSON.stringify({ ...(metadata && { __metadata__: metadata }), ...Object.fromEntries(entries) });
  return withHeader(new TextEncoder().encode(header), new Uint8Array(end).fill(fill));
}

function withHeader(header: Uint8Array, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + header.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(header.length), true);
  out.set(header, 8);
  out.set(data, 8 + header.length);
  return out;
}

/** Several dtypes, a scalar, empty tensors, names in other scripts, metadata; one file with many tensors, one with none. */
const SEEDS: readonly Uint8Array[] = [
  fileOf(
    {
      a: ['F32', [2, 3]],
      'b.weight': ['F16', [4]],
      scalar: ['I64', []],
      empty: ['BF16', [0, 5]],
      ü: ['BF16', [1, 1, 3]],
    },
    { format: 'pt', note: 'ok' },
  ),
  fileOf(Object.fromEntries(Object.keys(SAFETENSORS_BITS).map((dtype) => [`of.${dtype}`, [dtype, [8]]]))),
  fileOf({ 'only.one': ['U8', [2, 1, 3]] }),
  fileOf({}, { empty: '' }),
];

const WORDS: Vocabulary = {
  keys: ['"dtype"', '"shape"', '"data_offsets"', '"__metadata__"', '"a"', '"\\u0061"', '"z"', '"format"', '"Dtype"'],
  values: [
    ...[...Object.keys(SAFETENSORS_BITS), 'F33', 'f32', 'F128'].map((dtype) => `"${dtype}"`),
    '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}',
    '{"dtype":"U8","shape":[1],"data_offsets":[46,47]}',
    '{"dtype":"F4","shape":[3],"data_offsets":[46,47]}',
    '["U8",[0],[0,0]]',
    '{"F32":null}',
    '{"k":"v"}',
    '[1]',
    '[0,4]',
    '[46,46]',
    '[4294967296,4294967296]',
    '[2147483648,4194304]',
    '[9007199254740991,2,0]',
  ],
};

const parts = (file: Uint8Array): { header: Uint8Array; data: Uint8Array } | null => {
  if (file.length < 8) return null;
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  if (length > file.length - 8) return null;
  return { header: file.subarray(8, 8 + length), data: file.subarray(8 + length) };
};

const TREES = SEEDS.map((file) => treeOf(new TextDecoder().decode(parts(file)!.header)));

/** One tensor moved, or both its size and its place changed: holes, overlaps, and now and then a sound file. */
function moveSpan(random: Random, text: string): string {
  const spans = [...text.matchAll(/\[(\d+),(\d+)\]\}/g)];
  if (spans.length === 0) return text.replace('{', '{"z":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},');
  const span = random.pick(spans);
  const step = random.pick([-32, -8, -4, -1, 1, 4, 8, 1000, 2 ** 32, 2 ** 53]);
  const [begin, end] = [Number(span[1]), Number(span[2])].map((n) => Math.max(0, n + step));
  return `${text.slice(0, span.index)}[${begin},${end}]}${text.slice(span.index + span[0].length)}`;
}

/** Mostly the header as a tree, its length set right, so that the checks behind are reached; else the file around it. */
function mutate(random: Random, seed: number): Uint8Array {
  const { header, data } = parts(SEEDS[seed]!)!;
  const kind = random.next();
  if (kind < 0.012) {
    const file = SEEDS[seed]!.slice();
    const lengths = [0, 1, 2, header.length - 1, header.length + 8, file.length, 100_000_001, 2 ** 40];
    const length = random.chance(0.1) ? 1n << 63n : BigInt(random.pick(lengths));
    new DataView(file.buffer).setBigUint64(0, length, true);
    return file;
  }
  if (kind < 0.018) return SEEDS[seed]!.slice(0, random.below(SEEDS[seed]!.length));
  if (kind < 0.05) {
    const size = Math.max(0, data.length + random.pick([-8, -1, 1, 2, 8, 4096]));
    return withHeader(header, new Uint8Array(size));
  }
  if (kind < 0.12) return withHeader(new TextEncoder().encode(moveSpan(random, printTree(TREES[seed]!))), data);
  return withHeader(mutateJson(random, TREES[seed]!, WORDS), data);
}

/** More tensors, or more text, than a reader should keep in memory. */
const manyTensors = (): Uint8Array => {
  const entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
  const text = `{${Array.from({ length: LIMITS.tensors + 1 }, (_, i) => `"${i}":${entry}`).join()}}`;
  return withHeader(new TextEncoder().encode(text), new Uint8Array(0));
};
const muchText = (): Uint8Array =>
  withHeader(new TextEncoder().encode(`{"__metadata__":{"k":"${'x'.repeat(LIMITS.text + 1)}"}}`), new Uint8Array(0));

async function read(file: Uint8Array): Promise<void> {
  const { tensors, dataStart } = await openSafetensors(memorySource('mutant', file));
  let at = dataStart;
  for (const { name, begin, end, dtype, shape } of tensors.values()) {
    const bits = shape.reduce((product, axis) => product * axis, SAFETENSORS_BITS[dtype]);
    if (dataStart + begin !== at || bits !== 8 * (end - begin)) throw new Error(`tensor ${name} was accepted wrongly`);
    at = dataStart + end;
  }
  if (at !== file.length) throw new Error('bytes that no tensor declares were accepted');
}

export const safetensors: Target = {
  name: 'safetensors',
  codes: [
    ...['TRUNCATED', 'TRAILING', 'HEADER_LENGTH', 'HEADER_UTF8', 'HEADER_JSON', 'METADATA', 'DUPLICATE_NAME', 'ENTRY'],
    ...['DTYPE', 'SHAPE', 'OFFSETS', 'SPAN', 'OVERLAP', 'HOLE', 'LIMIT'],
  ].map((code) => `SAFETENSORS_${code}`),
  seeds: SEEDS,
  mutate,
  large: [manyTensors, muchText],
  structure(file) {
    const found = parts(file);
    const tree = found && parseTree(new TextDecoder().decode(found.header));
    return tree && `${tree.canonical} ${found.data.length}`;
  },
  fixture: /\.safetensors$/,
  declaredLength: (file) => file.length,
  read,
};
