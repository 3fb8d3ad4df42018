import { DEQUANTIZE, decodeToF32, f16ToF32 } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { GGML_TYPES } from '../src/gguf/types.ts';
import { memoryFolder, memorySource, openGguf, openModel, openSafetensors } from '../src/index.ts';
import { BOOL, F32, type Field, gguf, TEXT, type TensorInfo, U32 } from './gguf-writer.ts';
import { codeOf, errorOf } from './helpers.ts';

const REMAKE = 'fixtures are made by: .venv/bin/python fixtures/gguf_files.py';
const open = (bytes: Uint8Array) => openGguf(memorySource('f.gguf', bytes));

test('every type of metadata, as PyPI gguf writes it', async () => {
  const { metadata, tensors, dataStart } = await open(await loadFixture('gguf/values.gguf'));
  expect(Object.fromEntries(metadata), REMAKE).toEqual({
    'general.architecture': 'test',
    'general.alignment': 64,
    u8: 255,
    i8: -128,
    u16: 65535,
    i16: -32768,
    u32: 4294967295,
    i32: -2147483648,
    u64: 2 ** 53 - 1,
    'u64.wide': 2n ** 64n - 1n,
    i64: 1 - 2 ** 53,
    'i64.wide': -(2n ** 63n),
    f32: Math.fround(0.1),
    f64: 0.1,
    true: true,
    false: false,
    text: 'ü \u{1f40d} \0 end',
    numbers: [1, -2, 3],
    floats: [0.5, -1.25],
    flags: [true, false],
    texts: ['a', '', 'ü'],
  });
  expect(dataStart % 64).toBe(0);
  expect(tensors.map(({ name, type, shape, begin, end }) => [name, type.name, shape, begin, end])).toEqual([
    ['bytes', 'i8', [3], 0, 3],
    ['long', 'i64', [2, 3], 64, 112],
    ['deep', 'f32', [1, 2, 3, 4], 128, 224],
  ]);
});

test.each(['values.gguf', 'mamba2-group-per-head.gguf'])(
  '%s: every length that loses a declared byte is refused',
  async (name) => {
    const whole = await loadFixture(`gguf/${name}`);
    const { dataStart, tensors } = await open(whole);
    const end = dataStart + tensors.at(-1)!.end;
    for (let length = 0; length < end; length++) {
      const code = await codeOf(() => open(whole.subarray(0, length)));
      if (code !== 'GGUF_TRUNCATED') expect([length, code]).toEqual([length, 'GGUF_TRUNCATED']);
    }
    for (let length = end; length <= whole.length; length++) await open(whole.subarray(0, length));
    expect(await codeOf(() => open(Uint8Array.of(...whole, 0)))).toBe('GGUF_TRAILING');
  },
);

test.each([...DEQUANTIZE])(
  '%s decodes to the bits of PyPI gguf, random and adversarial blocks',
  async (type, decode) => {
    const bytes = await loadFixture('gguf/blocks.safetensors');
    const { tensors, dataStart } = await openSafetensors(memorySource('blocks', bytes));
    const part = (name: string): Uint8Array => {
      const { begin, end } = tensors.get(`${type}.${name}`)!;
      return bytes.slice(dataStart + begin, dataStart + end);
    };
    const expected = new Uint32Array(part('values').buffer);
    const { block } = [...GGML_TYPES.values()].find(({ name }) => name === type)!;
    const found = new Float32Array(expected.length);
    decode(part('blocks'), expected.length / block, found);
    // Which NaN it is, no arithmetic says; all other values must have the same bits.
    const bits = new Uint32Array(found.buffer).map((value) => ((value & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : value));
    const wanted = expected.map((value) => ((value & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : value));
    expect(bits, REMAKE).toEqual(wanted);
    expect(new Set(wanted).size).toBeGreaterThan(100);
  },
);

const MAMBA: readonly Field[] = [
  ['general.architecture', TEXT, 'mamba'],
  ['mamba.embedding_length', U32, 32],
  ['mamba.block_count', U32, 1],
  ['mamba.ssm.conv_kernel', U32, 4],
  ['mamba.ssm.inner_size', U32, 64],
  ['mamba.ssm.state_size', U32, 16],
  ['mamba.ssm.time_step_rank', U32, 2],
  ['mamba.attention.layer_norm_rms_epsilon', F32, 1e-5],
  ['mamba.ssm.dt_b_c_rms', BOOL, false],
];
const embedding = (data: Uint8Array, type = 8): TensorInfo => ({
  name: 'token_embd.weight',
  dims: [32, 2],
  type,
  data,
});
const model = (fields: readonly Field[], tensors: readonly TensorInfo[]) =>
  openModel(memorySource('m.gguf', gguf(fields, tensors)));

async function read(source: Awaited<ReturnType<typeof model>>['weights'], name: string): Promise<Uint8Array> {
  const pieces: number[] = [];
  for await (const piece of source.read(name)) pieces.push(...piece);
  return Uint8Array.from(pieces);
}

/** A block of iq4_nl whose scale has the bits `half`, with all codes twice. */
const iq4 = (half: number): Uint8Array =>
  Uint8Array.from({ length: 18 }, (_, i) => (i < 2 ? (half >> (8 * i)) & 255 : 17 * (i - 2)));
const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

describe('quantised weights', () => {
  test.each([
    ['q8_0', 8, 34],
    ['q4_0', 2, 18],
  ])('of the type %s are handed on as they are', async (dtype, type, bytes) => {
    const blocks = Uint8Array.from({ length: 2 * bytes }, (_, i) => i);
    const { weights } = await model(MAMBA, [embedding(blocks, type)]);
    const name = 'backbone.embeddings.weight';
    expect(weights.entries.get(name)).toEqual({ name, dtype, shape: [2, 32], byteLength: 2 * bytes });
    expect(await read(weights, name)).toEqual(blocks);
  });

  test('of types that no kernel knows are decoded to f16, and say from what', async () => {
    const { weights } = await model(MAMBA, [embedding(Uint8Array.of(...iq4(0x3c00), ...iq4(0x2e66)), 20)]);
    expect(weights.entries.get('backbone.embeddings.weight')).toEqual({
      name: 'backbone.embeddings.weight',
      dtype: 'f16',
      shape: [2, 32],
      byteLength: 128,
      storedAs: 'iq4_nl',
    });
    const values = decodeToF32(await read(weights, 'backbone.embeddings.weight'), 'f16');
    expect([...values.subarray(0, 32)]).toEqual([...IQ4, ...IQ4]);
    const scale = f16ToF32(0x2e66);
    for (const [i, value] of values.subarray(32).entries()) {
      const exact = scale * IQ4[i % 16]!;
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(2 ** -11 * Math.abs(exact));
    }
  });

  test('beyond f16 throw TENSOR_RANGE', async () => {
    const { weights } = await model(MAMBA, [embedding(Uint8Array.of(...iq4(0x3c00), ...iq4(0x7bff)), 20)]);
    expect(await errorOf(() => read(weights, 'backbone.embeddings.weight'))).toMatchObject({
      code: 'TENSOR_RANGE',
      details: { tensor: 'token_embd.weight', found: -127 * 65504 },
    });
  });

  test('of types that are not read are listed, and throw TENSOR_DTYPE', async () => {
    const tensor = { ...embedding(new Uint8Array(66 * 2), 16), dims: [256, 2] };
    const { weights } = await model(MAMBA, [tensor]);
    expect(weights.others.get('backbone.embeddings.weight')?.dtype).toBe('iq2_xxs');
    expect(await codeOf(() => read(weights, 'backbone.embeddings.weight'))).toBe('TENSOR_DTYPE');
  });
});

describe('what makes a model', () => {
  const f32 = embedding(new Uint8Array(256), 0);

  test.each<[string, string, readonly Field[], readonly TensorInfo[]]>([
    ['no architecture', 'GGUF_METADATA', MAMBA.slice(1), [f32]],
    ['an architecture of another type', 'GGUF_METADATA', [['general.architecture', U32, 1]], [f32]],
    ['an unknown architecture', 'GGUF_ARCHITECTURE', [['general.architecture', TEXT, 'constructor']], [f32]],
    ['a missing size', 'GGUF_METADATA', MAMBA.slice(0, 5), [f32]],
    ['a size that is a list', 'GGUF_METADATA', [...MAMBA.slice(0, 2), ['mamba.block_count', [U32], [1, 2]]], [f32]],
    ['a flag that is a number', 'GGUF_METADATA', [...MAMBA.slice(0, 8), ['mamba.ssm.dt_b_c_rms', U32, 1]], [f32]],
    ['an id past the vocabulary', 'GGUF_METADATA', [...MAMBA, ['tokenizer.ggml.eos_token_id', U32, 2]], [f32]],
    [
      'an id of a turn past the vocabulary',
      'GGUF_METADATA',
      [...MAMBA, ['tokenizer.ggml.eot_token_id', U32, 2]],
      [f32],
    ],
    ['no embedding', 'TENSOR_MISSING', MAMBA, []],
    ['an unknown tensor', 'GGUF_TENSOR', MAMBA, [f32, { ...f32, name: 'constructor' }]],
    ['an unknown tensor of a layer', 'GGUF_TENSOR', MAMBA, [f32, { ...f32, name: 'blk.0.attn_q.weight' }]],
    [
      'two names for one',
      'TENSOR_NAME',
      MAMBA,
      [f32, { ...f32, name: 'blk.0.ssm_d' }, { ...f32, name: 'blk.00.ssm_d' }],
    ],
    ['one part of several', 'GGUF_SPLIT', [...MAMBA, ['split.count', U32, 2]], [f32]],
  ])('%s: %s', async (_, code, fields, tensors) => {
    expect(await codeOf(() => model(fields, tensors))).toBe(code);
  });

  test('what ends a turn ends an answer', async () => {
    const id = (name: string, value: number): Field => [`tokenizer.ggml.${name}_token_id`, U32, value];
    const endOf = async (...ids: Field[]) =>
      ((await model([...MAMBA, ...ids], [f32])).config as { eos_token_id?: unknown }).eos_token_id;
    expect(await endOf()).toBeUndefined();
    expect(await endOf(id('eos', 1))).toBe(1);
    expect(await endOf(id('eos', 1), id('eot', 1))).toBe(1);
    expect(await endOf(id('eos', 1), id('eot', 0), id('eom', 0))).toEqual([1, 0]);
  });

  describe('rotary factors', () => {
    const LLAMA: readonly Field[] = [
      ['general.architecture', TEXT, 'llama'],
      ...['embedding_length', 'block_count', 'attention.head_count', 'feed_forward_length', 'context_length'].map(
        (key): Field => [`llama.${key}`, U32, 4],
      ),
      ['llama.attention.layer_norm_rms_epsilon', F32, 1e-5],
    ];
    const factors = (values: readonly number[], over: Partial<TensorInfo> = {}): TensorInfo => ({
      name: 'rope_freqs.weight',
      dims: [values.length],
      type: 0,
      data: new Uint8Array(Float32Array.from(values).buffer),
      ...over,
    });

    test('are configuration, and no weight', async () => {
      const { config, weights } = await model(LLAMA, [f32, factors([1, 2.5])]);
      const scaling = { rope_type: 'longrope', attention_factor: 1, original_max_position_embeddings: 4 };
      expect(config).toMatchObject({ rope_scaling: { ...scaling, short_factor: [1, 2.5], long_factor: [1, 2.5] } });
      expect([...weights.entries.keys()]).toEqual(['model.embed_tokens.weight']);
      expect(weights.others.size).toBe(0);
    });

    test.each<[string, TensorInfo, readonly Field[]]>([
      ['of halves', factors([1], { type: 1, dims: [2] }), LLAMA],
      ['of two axes', factors([1, 2], { dims: [1, 2] }), LLAMA],
      ['too many', factors(new Array(8193).fill(1)), LLAMA],
      ['zero', factors([1, 0]), LLAMA],
      ['not a number', factors([1, Number.NaN]), LLAMA],
      ['infinite', factors([Number.POSITIVE_INFINITY]), LLAMA],
      ['of a model without', factors([1]), MAMBA],
      [
        'beside another scaling',
        factors([1]),
        [...LLAMA, ['llama.rope.scaling.type', TEXT, 'linear'], ['llama.rope.scaling.factor', F32, 2]],
      ],
    ])('%s throw GGUF_TENSOR', async (_, tensor, fields) => {
      expect(await codeOf(() => model(fields, [f32, tensor]))).toBe('GGUF_TENSOR');
    });
  });

  test('the only GGUF of a folder is the model; of two, one must be named', async () => {
    const bytes = gguf(MAMBA, [f32]);
    const two = memoryFolder('two', { 'a.gguf': bytes, 'b.GGUF': bytes });
    expect((await openModel(memoryFolder('one', { 'a.gguf': bytes, 'notes.txt': bytes }))).name).toBe('a');
    expect(await errorOf(() => openModel(two))).toMatchObject({
      code: 'MODEL_FILE',
      details: { held: ['a.gguf', 'b.GGUF'] },
    });
    expect((await openModel(two, undefined, 'b.GGUF')).files).toEqual([{ name: 'b.GGUF', size: bytes.length }]);
  });

  test('parts that do not belong together throw GGUF_SPLIT', async () => {
    const part = (no: number, count: number, of = 2, tensors: readonly TensorInfo[] = []) =>
      gguf([...MAMBA, ['split.no', U32, no], ['split.count', U32, count], ['split.tensors.count', U32, of]], tensors);
    const second = [{ ...f32, name: 'output_norm.weight' }];
    const name = (no: number, count = 2) => `m-0000${no}-of-0000${count}.gguf`;
    const code = (a: Uint8Array, b: Uint8Array) =>
      codeOf(() => openModel(memoryFolder('m', { [name(1)]: a, [name(2)]: b })));
    expect(await code(part(0, 2, 2, [f32]), part(1, 2, 2, second))).toBe('no error');
    expect(await code(part(0, 2, 2, [f32]), part(0, 2, 2, second))).toBe('GGUF_SPLIT');
    expect(await code(part(0, 2, 2, [f32]), part(1, 3, 2, second))).toBe('GGUF_SPLIT');
    expect(await code(part(0, 2, 3, [f32]), part(1, 2, 2, second))).toBe('GGUF_SPLIT');
    expect(await code(part(0, 2, 2, [f32]), part(1, 2, 2, [f32]))).toBe('GGUF_DUPLICATE');
    const first = part(0, 2, 2, [f32]);
    expect(await codeOf(() => openModel(memoryFolder('m', { [name(1)]: first })))).toBe('GGUF_SPLIT');
    expect(await codeOf(() => openModel(memoryFolder('m', { [name(3)]: first }), undefined, name(3)))).toBe(
      'GGUF_SPLIT',
    );
    const zero = 'm-00001-of-00000.gguf';
    expect(await codeOf(() => openModel(memoryFolder('m', { [zero]: first }), undefined, zero))).toBe('GGUF_SPLIT');
  });
});
