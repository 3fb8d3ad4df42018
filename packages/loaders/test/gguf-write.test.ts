import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { ggufTypeOf } from '../src/gguf/mixture.ts';
import { type GgufField, type GgufTensorToWrite, jsonText, writeGguf } from '../src/index.ts';
import { codeOf, join } from './helpers.ts';

const bytes = (array: { readonly buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer);

test('every type of metadata and an alignment of its own: the bytes that PyPI gguf writes', async () => {
  const metadata = new Map<string, GgufField>([
    ['general.architecture', ['string', 'test']],
    ['general.alignment', ['u32', 64]],
    ['u8', ['u8', 255]],
    ['i8', ['i8', -128]],
    ['u16', ['u16', 65535]],
    ['i16', ['i16', -32768]],
    ['u32', ['u32', 4294967295]],
    ['i32', ['i32', -2147483648]],
    ['u64', ['u64', 2 ** 53 - 1]],
    ['u64.wide', ['u64', 2n ** 64n - 1n]],
    ['i64', ['i64', 1 - 2 ** 53]],
    ['i64.wide', ['i64', -(2n ** 63n)]],
    ['f32', ['f32', 0.1]],
    ['f64', ['f64', 0.1]],
    ['true', ['bool', true]],
    ['false', ['bool', false]],
    ['text', ['string', 'ü \u{1f40d} \0 end']],
    ['numbers', ['i32', [1, -2, 3]]],
    ['floats', ['f32', [0.5, -1.25]]],
    ['flags', ['bool', [true, false]]],
    ['texts', ['string', ['a', '', 'ü']]],
  ]);
  const deep = bytes(Float32Array.from({ length: 24 }, (_, i) => i));
  const tensors: GgufTensorToWrite[] = [
    { name: 'bytes', type: 'i8', shape: [3], data: Uint8Array.of(0, 1, 2) },
    { name: 'long', type: 'i64', shape: [2, 3], data: bytes(BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 5n)) },
    { name: 'deep', type: 'f32', shape: [1, 2, 3, 4], data: halves(deep) },
  ];
  expect(await join(writeGguf(metadata, tensors))).toEqual(await loadFixture('gguf/values.gguf'));
});

async function* halves(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data.subarray(0, 40);
  yield data.subarray(40);
}

describe('what cannot be written', () => {
  const one: GgufTensorToWrite = { name: 'a', type: 'f32', shape: [2], data: new Uint8Array(8) };
  const none = new Map<string, GgufField>();
  test.each<[string, ReadonlyMap<string, GgufField>, GgufTensorToWrite[], string]>([
    ['two of one name', none, [one, one], 'TENSOR_NAME'],
    ['a name of 64 bytes', none, [{ ...one, name: 'a'.repeat(64) }], 'TENSOR_NAME'],
    ['a name that is no Unicode', none, [{ ...one, name: '\ud800' }], 'TENSOR_NAME'],
    ['an unknown type', none, [{ ...one, type: 'q9_9' }], 'TENSOR_DTYPE'],
    ['no axes', none, [{ ...one, shape: [] }], 'TENSOR_SHAPE'],
    ['five axes', none, [{ ...one, shape: [1, 1, 1, 1, 2] }], 'TENSOR_SHAPE'],
    ['an axis of 0', none, [{ ...one, shape: [0] }], 'TENSOR_SHAPE'],
    ['rows that blocks do not divide', none, [{ ...one, type: 'q8_0', shape: [2, 16] }], 'TENSOR_SHAPE'],
    ['too few bytes', none, [{ ...one, data: new Uint8Array(4) }], 'TENSOR_SIZE'],
    ['too few in pieces', none, [{ ...one, shape: [25], data: halves(new Uint8Array(96)) }], 'TENSOR_SIZE'],
    ['too many in pieces', none, [{ ...one, shape: [23], data: halves(new Uint8Array(96)) }], 'TENSOR_SIZE'],
    ['an alignment of 24', new Map([['general.alignment', ['u32', 24]]]), [one], 'GGUF_VALUE'],
    ['a text that is no Unicode', new Map([['a', ['string', '\ud800']]]), [one], 'GGUF_VALUE'],
  ])('%s', async (_, metadata, tensors, code) => {
    expect(await codeOf(() => join(writeGguf(metadata, tensors)))).toBe(code);
  });
});

describe('types of tensors, as llama-quant.cpp chooses them', () => {
  const model = { dtype: 'q4_k', layers: 16, tied: false } as const;
  test.each([
    ['blk.0.ssm_in.weight', [512, 256], model, 'q4_k'],
    ['blk.0.ssm_conv1d.weight', [512, 4], model, 'f32'],
    ['blk.0.ssm_norm.weight', [2, 256], model, 'f32'],
    ['blk.0.ssm_a', [512, 16], model, 'f32'],
    ['output_norm.weight', [256], model, 'f32'],
    ['blk.0.ssm_dt.weight', [512, 16], model, 'f16'],
    // 96 columns do not divide by 256, but by 32.
    ['blk.0.ssm_in.weight', [512, 96], model, 'q5_0'],
    ['blk.0.ssm_in.weight', [512, 96], { ...model, dtype: 'q5_k' }, 'q5_1'],
    ['blk.0.ssm_in.weight', [512, 96], { ...model, dtype: 'q6_k' }, 'q8_0'],
    ['token_embd.weight', [1000, 256], model, 'q4_k'],
    ['token_embd.weight', [1000, 256], { ...model, tied: true }, 'q6_k'],
    ['token_embd.weight', [1000, 256], { ...model, tied: true, dtype: 'q4_0' }, 'q6_k'],
    ['token_embd.weight', [1000, 256], { ...model, tied: true, dtype: 'q8_0' }, 'q8_0'],
    ['token_embd.weight', [1000, 96], { ...model, tied: true }, 'q8_0'],
    ['output.weight', [1000, 96], { ...model, dtype: 'q4_0' }, 'q8_0'],
    ['output.weight', [1000, 256], model, 'q6_k'],
    ['output.weight', [1000, 256], { ...model, dtype: 'bf16' }, 'bf16'],
    // Of 16 layers the first two, the last two, and each third one from the fifth on.
    ...[0, 1, 4, 7, 10, 13, 14, 15].map((i) => [`blk.${i}.ffn_down.weight`, [256, 256], model, 'q6_k'] as const),
    ...[2, 3, 5, 6, 8].map((i) => [`blk.${i}.attn_v.weight`, [256, 256], model, 'q4_k'] as const),
    ['blk.0.attn_qkv.weight', [256, 256], { ...model, dtype: 'q5_k' }, 'q6_k'],
    ['blk.0.attn_q.weight', [256, 256], model, 'q4_k'],
    ['blk.0.ffn_down.weight', [256, 256], { ...model, dtype: 'q4_0' }, 'q4_0'],
    ['blk.0.attn_q.weight', [256, 256], { ...model, dtype: 'f16' }, 'f16'],
    ['blk.0.attn_q.bias', [256], { ...model, dtype: 'f16' }, 'f32'],
  ] as const)('%s %j in %j: %s', (name, shape, mixture, expected) => {
    expect(ggufTypeOf(name, shape, mixture)).toBe(expected);
  });
});

test('JSON has infinities as bare words, and texts that look like them stay texts', () => {
  const value = { a: [0, Number.POSITIVE_INFINITY], b: 'Infinity', c: Number.NEGATIVE_INFINITY };
  expect(jsonText(value).replaceAll(/\s/g, '')).toBe('{"a":[0,Infinity],"b":"Infinity","c":-Infinity}');
});
