import { memorySource } from '../../packages/loaders/src/byte-source.ts';
import { openPytorch, pytorchWeights } from '../../packages/loaders/src/pytorch/file.ts';
import {
  archiveFiles,
  float,
  global,
  int,
  joined,
  long,
  type Op,
  op,
  type Storage,
  stateOps,
  text,
  type View,
  type ZipFile,
  type ZipLayout,
  zip,
} from '../../packages/loaders/test/pytorch-writer.ts';
import type { Target } from '../fuzz.ts';
import type { Random } from '../random.ts';

const storage = (type: string, key: string, numel: number, bytes: number): Storage => ({
  type,
  key,
  numel,
  data: Uint8Array.from({ length: numel * bytes }, (_, i) => (7 * i + 3) & 63),
});

const view = (
  name: string,
  storage: Storage,
  shape: readonly number[],
  stride: readonly number[],
  offset = 0,
  parameter = false,
): View => ({ name, storage, shape: shape.map(int), stride: stride.map(int), offset: int(offset), parameter });

interface Model {
  readonly storages: readonly Storage[];
  readonly views: readonly View[];
  readonly trainer: boolean;
  readonly layout: ZipLayout;
}

const FLOATS = storage('FloatStorage', '0', 12, 4);
const HALVES = storage('HalfStorage', '1', 8, 2);
const SHORT = storage('BFloat16Storage', '2', 6, 2);
const LONGS = storage('LongStorage', '3', 3, 8);

/** Transposed, sliced, shared, scalar and empty views, a parameter, integers; and what a trainer saves, in a zip64 archive. */
const MODELS: readonly Model[] = [
  {
    storages: [FLOATS, HALVES, LONGS],
    views: [
      view('a', FLOATS, [2, 3], [1, 2], 3),
      view('b.weight', FLOATS, [3], [1], 9),
      view('tied', FLOATS, [12], [1], 0, true),
      view('ü', HALVES, [2, 2, 2], [4, 2, 1]),
      view('scalar', HALVES, [], [], 5),
      view('empty', HALVES, [0, 4], [4, 1]),
      view('steps', LONGS, [3], [1]),
    ],
    trainer: false,
    layout: {},
  },
  {
    storages: [SHORT],
    views: [view('w', SHORT, [2, 3], [3, 1]), view('column', SHORT, [2, 1], [3, 7], 1, true)],
    trainer: true,
    layout: { zip64: {} },
  },
];

const opsOf = (model: Model): Op[] => stateOps(model.views, model.trainer);
const SEEDS = MODELS.map((model) => zip(archiveFiles(opsOf(model), model.storages), model.layout));

const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 24, 255, 256, 65536, -1, -2, 2 ** 31 - 1, -(2 ** 31)];
const WIDE = [2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, -(2n ** 63n), 2n ** 63n - 1n];
const TYPES = [
  'Float',
  'Half',
  'BFloat16',
  'Double',
  'Long',
  'Int',
  'Short',
  'Char',
  'Byte',
  'Bool',
  'Untyped',
  'QInt8',
];
const NAMES = ['', 'a', 'tied', 'w', 'state_dict', '__proto__', 'ü', 'x'.repeat(300)];

/** Opcodes that a checkpoint has, those that PyTorch reads beside them, and those that run code. */
const OPS: readonly Op[] = [
  ...[...'(NtRQsuae)]}b.0'].map((code) => op(code)),
  ...[0x85, 0x86, 0x87, 0x88, 0x89, 0x81, 0x93, 0x94].map((code) => op(code)),
  ...[0, 1, 2, 255].flatMap((slot) => [op('h', slot), op('q', slot)]),
  op('r', 0, 0, 0, 1),
  op('j', 0, 0, 0, 1),
  op('K', 7),
  op('M', 1, 1),
  op(0x80, 2),
  op(0x95, 0, 0, 0, 0, 0, 0, 0, 0),
  op(0x82, 1),
  op('i', 'os\nsystem\n'),
  op('o'),
  op('2'),
  op('c', 'noend'),
  op('X', 255, 255, 255, 255),
  op('X', 1, 0, 0, 0, 0xff),
  ...NUMBERS.map(int),
  ...WIDE.map(int),
  long(),
  long(0),
  long(1, 0, 0, 0, 0, 0, 0, 0, 0),
  ...[0, 1, 2, 0.5, Number.NaN, Number.POSITIVE_INFINITY, -1].map(float),
  ...NAMES.map(text),
  text('storage'),
  text('cpu'),
  text('0'),
  ...TYPES.map((type) => global('torch', `${type}Storage`)),
  global('collections', 'OrderedDict'),
  global('torch', 'Size'),
  global('torch._utils', '_rebuild_tensor_v2'),
  global('torch._utils', '_rebuild_parameter'),
  ...[
    'os system',
    'builtins eval',
    'torch load',
    'torch.storage _load_from_bytes',
    'torch _utils',
    'collections Counter',
  ].map((name) => global(...(name.split(' ') as [string, string]))),
];

/** Numbers of one view, or its storage. */
function changeView(random: Random, model: Model): Model {
  const views = [...model.views];
  const at = random.below(views.length);
  const old = views[at]!;
  const number = (): Op =>
    random.chance(0.8) ? int(random.pick(NUMBERS)) : random.chance(0.5) ? int(random.pick(WIDE)) : random.pick(OPS);
  const some = (list: readonly Op[]): Op[] => list.map((each) => (random.chance(0.5) ? number() : each));
  const how = random.next();
  let next = old;
  let storages = model.storages;
  if (how < 0.15) next = { ...old, offset: number() };
  else if (how < 0.35) next = { ...old, shape: some(old.shape) };
  else if (how < 0.5) next = { ...old, stride: some(old.stride) };
  else if (how < 0.6) {
    const rank = random.below(5);
    const axes = (): Op[] => Array.from({ length: rank }, () => int(random.pick([0, 1, 1, 2, 3])));
    next = { ...old, shape: axes(), stride: axes() };
  } else if (how < 0.64) next = { ...old, shape: Array.from({ length: 30 + random.below(5) }, () => int(1)) };
  else if (how < 0.7) next = { ...old, name: random.pick(NAMES) };
  else if (how < 0.74) next = { ...old, parameter: !old.parameter };
  else {
    const storage = { ...old.storage };
    const change: Partial<Storage> = random.pick<() => Partial<Storage>>([
      () => ({ type: `${random.pick(TYPES)}Storage` }),
      () => ({ key: random.pick(['0', '1', '9', '../0', '', 'x'.repeat(300)]) }),
      () => ({ numel: random.pick([...NUMBERS, ...WIDE]) }),
      () => ({ type: random.pick(['FloatStorage', 'IntStorage']) }),
    ])();
    next = { ...old, storage: { ...storage, ...change } };
    // In half of them for all views of it, so that the change is sound in itself.
    if (random.chance(0.5)) {
      for (const [i, each] of views.entries())
        if (each.storage === old.storage) views[i] = { ...each, storage: next.storage };
    }
    if (random.chance(0.3)) {
      const size = random.pick([0, 1, 2, 4, 12, 24, 48, 96]);
      const data = new Uint8Array(size);
      storages = storages.map((each) => (each.key === old.storage.key ? { ...each, data } : each));
    }
  }
  views[at] = next;
  return { ...model, views, storages };
}

/** A few opcodes left out, doubled, moved or put in. */
function changeOps(random: Random, ops: Op[]): Op[] {
  const out = [...ops];
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.chance(0.05) ? random.below(out.length) : 1 + random.below(out.length - 1);
    const how = random.next();
    if (how < 0.45) out[at] = random.pick(OPS);
    else if (how < 0.6) out.splice(at, 0, random.pick(OPS));
    else if (how < 0.7) out.splice(at, 1 + random.below(4));
    else if (how < 0.8) out.splice(at, 0, random.pick(ops));
    else if (how < 0.88) out.splice(at, 0, ...ops.slice(at - 1, at + random.below(20)));
    else if (how < 0.94 && at > 0) [out[at], out[at - 1]] = [out[at - 1]!, out[at]!];
    else out[at] = random.pick(ops);
    if (out.length < 3) break;
  }
  return out;
}

const SIZES = [0, 1, 22, 30, 46, 4096, 0xffff, 0x10000, 0x7fffffff, 0xfffffffe, 0xffffffff];
const FILES = ['archive/data/0', 'archive/data/1', 'archive/DATA/0', 'archive/version', 'other/data.pkl', 'data.pkl'];
const MORE_FILES = ['archive/constants.pkl', 'archive/code/x.py', 'archive/.data/version', '../x', 'archive/', ''];

function changeZip(random: Random, files: ZipFile[], layout: ZipLayout): Uint8Array {
  let out = [...files];
  let changed: ZipLayout = layout;
  const at = random.below(out.length);
  const file = out[at]!;
  const change = (more: Partial<ZipFile>): void => {
    out[at] = { ...file, ...more };
  };
  const ascii = (value: string): Uint8Array => new TextEncoder().encode(value);
  const edits: readonly (() => void)[] = [
    () => change({ name: random.pick([...FILES, ...MORE_FILES]) }),
    () => change({ localName: random.pick([...FILES, 'archive/data.pkL']) }),
    () => change({ crc: random.below(2 ** 32) }),
    () => change({ method: random.pick([8, 12, 99]) }),
    () => change({ flags: random.pick([1, 8, 0x20, 0x40, 0x800, 0x808, 0xffff]) }),
    () => change({ bytes: random.pick([...SIZES, file.data.length + 1, file.data.length - 1]) >>> 0 }),
    () => change({ packed: random.pick(SIZES) }),
    () => change({ header: random.pick([...SIZES, 1000]) }),
    () => change({ localExtra: random.pick([...SIZES, 4, 8]) & 0xffff }),
    () => change({ localMagic: 0x04034b51 }),
    () => change({ attributes: random.pick([1, 16, 0x20, 0xffff0000]) }),
    () =>
      change({
        extra: random.pick([op(1, 0, 0, 0), op(1, 0, 255, 255), op(1, 0, 8, 0, ...Array<number>(8).fill(255))]),
      }),
    () => change({ bytes: 0xffffffff, extra: op(1, 0, 16, 0, file.data.length & 255, ...Array<number>(15).fill(0)) }),
    () => out.splice(at, 1),
    () => out.push(random.pick(out)),
    () => out.push({ name: random.pick([...FILES, ...MORE_FILES]), data: random.pick(files).data }),
    () => {
      out = [...out.slice(at), ...out.slice(0, at)];
    },
    () => {
      out = out.map((each) => ({ ...each, name: each.name.replace('archive/', random.pick(['', 'b/', 'a/b/', '/'])) }));
    },
    () => {
      const content = random.pick(['big', 'LITTLE', 'little\n', '', 'x'.repeat(99)]);
      out = out.map((each) => (each.name.endsWith('byteorder') ? { ...each, data: ascii(content) } : each));
    },
    () => {
      const content = random.pick(['0', '1', '10', '11', '99999999999999999999', '', '-1', 'x', ' 3', '3x']);
      out = out.map((each) => (each.name.endsWith('/version') ? { ...each, data: ascii(content) } : each));
    },
    () => {
      changed = { ...layout, count: random.below(9) };
    },
    () => {
      changed = { ...layout, [random.pick(['size', 'offset'])]: random.pick([...SIZES, 700]) };
    },
    () => {
      changed = { ...layout, [random.pick(['total', 'disk', 'comment', 'gap'])]: random.pick([1, 2, 64]) };
    },
    () => {
      changed = { ...layout, zip64: {} };
    },
    () => {
      const wide = [0n, 1n, 5n, 65_537n, 700n, 2n ** 24n + 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n];
      changed = { ...layout, zip64: { [random.pick(['place', 'count', 'size', 'offset'])]: random.pick(wide) } };
    },
  ];
  random.pick(edits)();
  return zip(out, changed);
}

function changeBytes(random: Random, seed: Uint8Array): Uint8Array {
  const how = random.next();
  if (how < 0.3) return seed.slice(0, random.below(seed.length));
  if (how < 0.4) return joined([seed, new Uint8Array(1 + random.below(64))]);
  if (how < 0.6) {
    const at = random.below(seed.length);
    return joined([seed.subarray(0, at), seed.subarray(at + 1 + random.below(16))]);
  }
  const bytes = seed.slice();
  for (let n = 1 + random.below(3); n > 0; n--)
    bytes[random.below(bytes.length)] = random.pick([0, 1, 2, 8, 0x2e, 0x50, 0x7f, 0x80, 0xff]);
  return bytes;
}

/** One mutant: views, opcodes or the archive around them are changed and the rest is written as it should be; or raw bytes. */
function mutate(random: Random, seed: number): Uint8Array {
  let model = MODELS[seed]!;
  const how = random.next();
  if (how < 0.08) return changeBytes(random, SEEDS[seed]!);
  if (how < 0.45) for (let n = 1 + random.below(2); n > 0; n--) model = changeView(random, model);
  const ops = how < 0.45 || how > 0.75 ? opsOf(model) : changeOps(random, opsOf(model));
  const files = archiveFiles(ops, model.storages);
  return how > 0.75 ? changeZip(random, files, model.layout) : zip(files, model.layout);
}

/** More opcodes, a deeper stack, more of the memo, more files, or a pickle longer than a reader should take. */
const withPickle = (ops: readonly Op[]): Uint8Array => zip(archiveFiles([op(0x80, 2), ...ops, op('.')], []));
const LARGE: readonly (() => Uint8Array)[] = [
  () => withPickle([op('N'), new Uint8Array(4_200_000).fill(0x28)]),
  () => withPickle([op('N'), ...Array<Op>(300_000).fill(op('N', 0x85, 'q', 0))]),
  () => withPickle([op(']'), op('q', 0), new Uint8Array(300_000).fill(0x28), op('h', 0)]),
  () => withPickle([op('}'), op('('), text('a'.repeat(2_000_000)), ...viewsOf(2000), op('u')]),
  () =>
    zip(
      Array.from({ length: 65_537 }, (_, i) => ({ name: `a/${i}`, data: new Uint8Array(0) })),
      { zip64: {} },
    ),
];
function viewsOf(count: number): Op[] {
  return [...stateOps([view('w', SHORT, [6], [1])], false).slice(5, -6), ...Array<Op>(count).fill(op('N'))];
}

async function read(file: Uint8Array): Promise<void> {
  const opened = await openPytorch(memorySource('mutant', file));
  for (const { name, storage } of opened.tensors.values())
    if (storage.begin < 0 || storage.end > file.length) throw new Error(`tensor ${name} was accepted wrongly`);
  const weights = pytorchWeights([opened]);
  for (const { name, byteLength } of weights.entries.values()) {
    let bytes = 0;
    for await (const piece of weights.read(name)) bytes += piece.length;
    if (bytes !== byteLength || bytes > file.length)
      throw new Error(`tensor ${name} of ${byteLength} gave ${bytes} bytes`);
  }
}

export const pytorch: Target = {
  name: 'pytorch',
  codes: ['FORMAT', 'TRUNCATED', 'ZIP', 'CRC', 'PICKLE', 'GLOBAL', 'LIMIT', 'TENSOR'].map((code) => `PYTORCH_${code}`),
  seeds: SEEDS,
  mutate,
  large: LARGE,
  // The archive is what it is made of, byte for byte: mutants leave the storages' bytes alone, but for a few of raw ones.
  structure: (file) => new TextDecoder('latin1').decode(file),
  fixture: /^(?:pytorch_model.*\.bin|trainer\.pt)$/,
  declaredLength: (file) => file.length,
  read,
};
