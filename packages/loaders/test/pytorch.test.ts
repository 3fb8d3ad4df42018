import { crc32, decodeToF32 } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { type CheckpointSource, memoryFolder, memorySource, openModel, openPytorch } from '../src/index.ts';
import { unpickle } from '../src/pytorch/unpickle.ts';
import { codeOf, errorOf } from './helpers.ts';
import { archiveFiles, int, type Storage, stateOps, type View, type ZipFile, zip } from './pytorch-writer.ts';

const REMAKE = 'fixtures are made by: .venv/bin/python fixtures/pytorch.py';

async function openFixture(folder: string, names: readonly string[]): Promise<CheckpointSource> {
  const files = await Promise.all(names.map(async (name) => [name, await loadFixture(`${folder}/${name}`)] as const));
  return (await openModel(memoryFolder('m', Object.fromEntries(files)))).weights;
}

async function valuesOf(source: CheckpointSource, name: string): Promise<number[]> {
  const pieces: number[] = [];
  for await (const piece of source.read(name))
    pieces.push(...decodeToF32(piece.slice(), source.entries.get(name)!.dtype));
  return pieces;
}

async function expectSame(found: CheckpointSource, expected: CheckpointSource): Promise<void> {
  expect(expected.entries.size, REMAKE).toBeGreaterThan(10);
  for (const { name, shape, dtype, byteLength } of expected.entries.values()) {
    expect(found.entries.get(name), name).toEqual({ name, shape, dtype, byteLength });
    expect(await valuesOf(found, name), name).toEqual(await valuesOf(expected, name));
  }
}

describe('what torch.save wrote has the values of the safetensors file', () => {
  test('views: transposed, slices of one storage, tied, parameters', async () => {
    const found = await openFixture('pytorch/plain', ['config.json', 'pytorch_model.bin']);
    const expected = await openFixture('mamba/plain', ['config.json', 'model.safetensors']);
    await expectSame(found, expected);
    expect(await valuesOf(found, 'lm_head.weight')).toEqual(await valuesOf(expected, 'backbone.embeddings.weight'));
    expect([...found.others.values()]).toEqual([
      { name: 'num_batches_tracked', dtype: 'LongStorage', shape: [3], byteLength: 24 },
    ]);
    expect(await codeOf(() => valuesOf(found, 'num_batches_tracked'))).toBe('TENSOR_DTYPE');
  });

  test('bf16 in shards with an index', async () => {
    const names = ['config.json', ...[1, 2].map((n) => `pytorch_model-0000${n}-of-00002.bin`)];
    const found = await openFixture('pytorch/shards', [...names, 'pytorch_model.bin.index.json']);
    const safetensors = [1, 2].map((n) => `model-0000${n}-of-00002.safetensors`);
    await expectSame(
      found,
      await openFixture('mamba/bf16-shards', ['config.json', ...safetensors, 'model.safetensors.index.json']),
    );
  });

  test('a dictionary that a trainer saved: its state_dict', async () => {
    const { tensors } = await openPytorch(memorySource('t', await loadFixture('pytorch/trainer.pt')));
    expect([...tensors.keys()]).toEqual(['w']);
  });
});

test.each([
  ['code.pt', 'PYTORCH_GLOBAL', '"__builtin__.print", which is not needed for weights'],
  ['legacy.pt', 'PYTORCH_FORMAT', 'before 1.6'],
  ['protocol-4.pt', 'PYTORCH_PICKLE', 'protocol 2'],
  ['repeats.pt', 'PYTORCH_TENSOR', 'repeats its elements'],
])('%s: %s', async (name, code, message) => {
  const file = await loadFixture(`pytorch/${name}`);
  const error = await errorOf(() => openPytorch(memorySource(name, file)));
  expect(error?.code, REMAKE).toBe(code);
  expect(error?.message).toContain(message);
});

const trainer = (): Promise<Uint8Array> => loadFixture('pytorch/trainer.pt');
const open = (bytes: Uint8Array): Promise<unknown> => openPytorch(memorySource('f.pt', bytes));

test('every shorter length is refused, and bytes after the end', async () => {
  const bytes = await trainer();
  for (let length = 0; length < bytes.length; length++) {
    const code = await codeOf(() => open(bytes.subarray(0, length)));
    if (!/^PYTORCH_(?:TRUNCATED|FORMAT)$/.test(code)) expect([length, code]).toEqual([length, 'PYTORCH_TRUNCATED']);
  }
  expect(await codeOf(() => open(Uint8Array.of(...bytes, 0)))).toBe('PYTORCH_TRUNCATED');
});

test('any byte changed: typed errors only, and a changed pickle is found by its CRC-32', async () => {
  const bytes = await trainer();
  const seen = new Map<string, number>();
  for (let at = 0; at < bytes.length; at++) {
    for (const flip of [1, 0x80, 0xff]) {
      const mutant = bytes.slice();
      mutant[at]! ^= flip;
      const code = await codeOf(() => open(mutant));
      seen.set(code, (seen.get(code) ?? 0) + 1);
    }
  }
  expect([...seen.keys()].sort()).toEqual([
    'PYTORCH_CRC',
    'PYTORCH_FORMAT',
    'PYTORCH_TRUNCATED',
    'PYTORCH_ZIP',
    'no error',
  ]);
});

test('a storage that is read whole is checked against its CRC-32', async () => {
  const bytes = await loadFixture('pytorch/plain/pytorch_model.bin');
  const config = await loadFixture('pytorch/plain/config.json');
  const { tensors } = await openPytorch(memorySource('f', bytes));
  const { storage } = tensors.get('backbone.embeddings.weight')!;
  bytes[storage.begin + 5]! ^= 1;
  const { weights } = await openModel(memoryFolder('m', { 'config.json': config, 'pytorch_model.bin': bytes }));
  expect(await codeOf(() => valuesOf(weights, 'backbone.embeddings.weight'))).toBe('PYTORCH_CRC');
});

test('crc32 of the check string', () => {
  const text = new TextEncoder().encode('123456789');
  expect(crc32(text)).toBe(0xcbf43926);
  expect(crc32(text.subarray(4), crc32(text.subarray(0, 4)))).toBe(0xcbf43926);
});

describe('what PyTorch refuses, or reads otherwise, is refused', () => {
  const W: Storage = { type: 'FloatStorage', key: '0', numel: 4, data: new Uint8Array(16).fill(1) };
  const view = (more: Partial<View> = {}): View => ({
    ...{ name: 'w', storage: W, shape: [int(2), int(2)], stride: [int(2), int(1)], offset: int(0) },
    ...more,
  });
  const files = (...views: readonly View[]): ZipFile[] => archiveFiles(stateOps(views, false), [W]);
  const code = (made: readonly ZipFile[]): Promise<string> => codeOf(() => open(zip(made)));
  const other = (more: Partial<ZipFile>, of = 'archive/data/0'): ZipFile[] =>
    files(view()).map((file) => (file.name === of ? { ...file, ...more } : file));

  test('but not this', async () => expect(await code(files(view()))).toBe('no error'));

  test.each<[string, string, () => ZipFile[]]>([
    [
      'a storage that is described in two ways',
      'PYTORCH_PICKLE',
      () => files(view(), view({ name: 'v', storage: { ...W, type: 'IntStorage' } })),
    ],
    [
      'a view past its storage that the dictionary no longer holds',
      'PYTORCH_TENSOR',
      () => files(view({ offset: int(1) }), view()),
    ],
    [
      'axes that overflow, healed by one of length 0',
      'PYTORCH_TENSOR',
      () => files(view({ shape: [int(2n ** 40n), int(2n ** 40n), int(0)], stride: [int(1), int(1), int(1)] })),
    ],
    [
      'integers with a gradient',
      'PYTORCH_PICKLE',
      () => files(view({ storage: { ...W, type: 'IntStorage' }, parameter: true })),
    ],
    ['no version', 'PYTORCH_FORMAT', () => files(view()).slice(0, -1)],
    ['a version to come', 'PYTORCH_FORMAT', () => other({ data: new TextEncoder().encode('11') }, 'archive/version')],
    ['a file in another folder', 'PYTORCH_FORMAT', () => [...files(view()), { name: 'b/x', data: new Uint8Array(0) }]],
    [
      'names that differ by case alone',
      'PYTORCH_ZIP',
      () => [...files(view()), { name: 'ARCHIVE/version', data: W.data }],
    ],
    ['strong encryption', 'PYTORCH_ZIP', () => other({ flags: 0x40 })],
    ['a storage that is a folder', 'PYTORCH_ZIP', () => other({ attributes: 0x10 })],
    ['a byteorder of many bytes', 'PYTORCH_LIMIT', () => other({ data: new Uint8Array(17) }, 'archive/byteorder')],
  ])('%s: %s', async (_, expected, made) => expect(await code(made())).toBe(expected));
});

describe('the unpickler', () => {
  const pickle = (...ops: (number | string)[]): Uint8Array =>
    Uint8Array.from([
      0x80,
      2,
      ...ops.flatMap((op) => (typeof op === 'string' ? [...op].map((c) => c.charCodeAt(0)) : [op])),
    ]);
  const read = (...ops: (number | string)[]): Promise<string> => codeOf(() => unpickle(pickle(...ops), 'f'));

  test.each<[string, string, (number | string)[]]>([
    ['nothing wrong', 'no error', ['N', '.']],
    ['a call of what is not on the list', 'PYTORCH_GLOBAL', ['cos\nsystem\n', ')', 'R', '.']],
    ['a name that is on the list with more behind it', 'PYTORCH_GLOBAL', ['ctorch\nSize.__init__\n', '.']],
    ['a name without an end', 'PYTORCH_PICKLE', ['ctorch', 'x'.repeat(300)]],
    ['a storage that is called', 'PYTORCH_PICKLE', ['ctorch\nFloatStorage\n', ')', 'R', '.']],
    ['STACK_GLOBAL', 'PYTORCH_PICKLE', [0x93, '.']],
    ['INST', 'PYTORCH_PICKLE', ['(', 'i', '.']],
    ['OBJ', 'PYTORCH_PICKLE', ['(', 'o', '.']],
    ['NEWOBJ', 'PYTORCH_PICKLE', [')', ')', 0x81, '.']],
    ['EXT1', 'PYTORCH_PICKLE', [0x82, 1, '.']],
    ['DUP', 'PYTORCH_PICKLE', ['N', '2', '.']],
    ['a memo that was never set', 'PYTORCH_PICKLE', ['h', 0, '.']],
    ['an empty stack', 'PYTORCH_PICKLE', ['.']],
    ['a mark as a value', 'PYTORCH_PICKLE', ['(', '.']],
    ['no mark', 'PYTORCH_PICKLE', ['N', 't', '.']],
    ['no end', 'PYTORCH_PICKLE', ['N']],
    ['more after the end', 'PYTORCH_PICKLE', ['N', '.', 'N']],
    ['two values', 'PYTORCH_PICKLE', ['N', 'N', '.']],
    ['items of a list', 'PYTORCH_PICKLE', [']', 'N', 'N', 's', '.']],
    ['an odd number of items', 'PYTORCH_PICKLE', ['}', '(', 'N', 'u', '.']],
    ['append to a dictionary', 'PYTORCH_PICKLE', ['}', 'N', 'a', '.']],
    ['attributes of a list', 'PYTORCH_PICKLE', [']', '}', 'b', '.']],
    ['a number of 72 bits', 'PYTORCH_PICKLE', [0x8a, 9, ...Array<number>(9).fill(0), '.']],
    ['a number beyond 2^53', 'PYTORCH_PICKLE', [0x8a, 7, ...Array<number>(7).fill(0x7f), '.']],
    ['a text that is not UTF-8', 'PYTORCH_PICKLE', ['X', 1, 0, 0, 0, 0xff, '.']],
    [
      'a shape of 33 axes',
      'PYTORCH_PICKLE',
      ['ctorch\nSize\n', '(', ...Array<string>(33).fill('N'), 't', 0x85, 'R', '.'],
    ],
    ['a storage without a description', 'PYTORCH_PICKLE', [')', 'Q', '.']],
    ['append to a tuple', 'PYTORCH_PICKLE', [')', 'N', 'a', '.']],
    ['attributes of a plain dictionary', 'PYTORCH_PICKLE', ['}', '}', 'b', '.']],
    ['a dictionary as a key', 'PYTORCH_PICKLE', ['}', '}', 'N', 's', '.']],
    ['a shape of 3.0', 'PYTORCH_PICKLE', ['ctorch\nSize\n', 'G', 0x40, 8, 0, 0, 0, 0, 0, 0, 0x85, 0x85, 'R', '.']],
    ['a shape of two lists', 'PYTORCH_PICKLE', ['ctorch\nSize\n', ')', ')', 0x86, 'R', '.']],
    ['a stack that grows and grows', 'PYTORCH_LIMIT', ['N'.repeat(70_000)]],
  ])('%s: %s', async (_, code, ops) => {
    expect(await read(...ops)).toBe(code);
  });

  test('a list that holds itself is read, and is no dictionary of tensors', () => {
    const found = unpickle(pickle(']', 'q', 0, 'h', 0, 'a', '.'), 'f').value as unknown[];
    expect(found[0]).toBe(found);
  });
});
