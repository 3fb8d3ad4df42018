import { expect, test } from 'vitest';
import { LIMITS, memorySource, openSafetensors, type SafetensorsFile, type TensorToWrite } from '../src/index.ts';
import { errorOf, file, pattern, raw } from './helpers.ts';

const open = (header: string | Uint8Array, data = 0, length?: number): Promise<SafetensorsFile> =>
  openSafetensors(memorySource('t.safetensors', raw(header, data, length)));

/** A header of one f32 tensor `a` with some of its parts replaced. */
const one = ({ name = 'a', dtype = '"F32"', shape = '[1]', offsets = '[0,4]', more = '' } = {}): string =>
  `{"${name}":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}${more}}}`;
const meta = (value: string): string => `{"__metadata__":${value}}`;

test.each<[what: string, header: string, at: number, expected: string, found: string]>([
  ['an unfinished object', '{ ', 2, 'a name in quotes', 'the end'],
  ['an unfinished name', '{"a', 3, 'the rest of a string', 'the end'],
  ['a list', '[]', 0, '"{"', '"["'],
  ['a bare name', '{a:1}', 1, 'a name in quotes', '"a"'],
  ['no colon', '{"a"{}}', 4, '":"', '"{"'],
  ['a second value', '{}{}', 2, 'nothing more but spaces', '"{"'],
  ['NUL after the header', '{}\0', 2, 'nothing more but spaces', 'the byte 0'],
  ['DEL after the header', '{}\x7f', 2, 'nothing more but spaces', 'the byte 127'],
  ['no comma between members', meta('{"a":"b""c":"d"}'), 24, '"," or "}"', '"""'],
  ['no comma between numbers', one({ shape: '[1 2]' }), 31, '"," or "]"', '"2"'],
  ['half a word', one({ more: ',"x":nul' }), 60, 'null', '"}"'],
  ['a leading zero', one({ more: ',"x":-01' }), 58, 'a number without leading zero', '"0"'],
  ['an empty fraction', one({ more: ',"x":1.' }), 59, 'a value', '"}"'],
  ['a number out of range', one({ more: ',"x":1e301' }), 57, 'a number in range', '"1"'],
  ['401 digits', one({ more: `,"x":0.${'1'.repeat(399)}` }), 57, 'a shorter number', '"0"'],
  ['no key', one({ more: ',"x":{1:2}' }), 58, 'a string', '"1"'],
  ['no comma in a skipped list', one({ more: ',"x":[1 2]' }), 60, '"," or "]"', '"2"'],
  ['no comma in a skipped object', one({ more: ',"x":{"a":1 2}' }), 64, '"," or "}"', '"2"'],
  ['128 open brackets', one({ more: `,"x":${'['.repeat(126)}` }), 182, 'at most 127 open brackets', '"["'],
  ['an unknown escape', one({ name: '\\x41' }), 3, 'an escape', '"x"'],
  ['a bad hexadecimal digit', one({ name: '\\u00g0' }), 6, 'a hexadecimal digit', '"g"'],
  ['a lone leading surrogate', one({ name: '\\ud800' }), 8, 'a trailing surrogate', '"""'],
  ['a lone trailing surrogate', one({ name: '\\udc00' }), 2, 'a leading surrogate before this trailing one', '"\\"'],
  ['a letter in its place', one({ name: '\\ud800\\u0041' }), 10, 'a trailing surrogate', '"0"'],
  ['a control character', one({ name: 'a\x1f' }), 3, 'the rest of a string', 'the byte 31'],
])(
  'the header is not valid JSON, %s: the message says where, what was expected and what was found',
  async (_, header, at, expected, found) => {
    const error = await errorOf(() => open(header, 4));
    expect(error?.code).toBe('SAFETENSORS_HEADER_JSON');
    expect(error?.message).toBe(
      `t.safetensors: the header is not valid JSON: at its byte ${at}, ${expected} was expected and ${found} was found. ` +
        'The file is damaged or not a safetensors file.',
    );
    expect(error?.details).toEqual({ file: 't.safetensors', at });
  },
);

test.each<[what: string, run: () => Promise<unknown>, code: string, message: string, details: object]>([
  [
    'an empty file',
    () => openSafetensors(memorySource('t.safetensors', pattern(7))),
    'SAFETENSORS_TRUNCATED',
    't.safetensors has 7 bytes, but the length of the header needs 8: the end is missing. Was it downloaded whole?',
    { file: 't.safetensors', expected: 8, found: 7 },
  ],
  [
    'a header past the end',
    () => open('{}', 0, 3),
    'SAFETENSORS_TRUNCATED',
    't.safetensors has 10 bytes, but the header needs 11: the end is missing. Was it downloaded whole?',
    { file: 't.safetensors', expected: 11, found: 10 },
  ],
  [
    'a tensor past the end',
    () => open(one(), 3),
    'SAFETENSORS_TRUNCATED',
    't.safetensors has 65 bytes, but the last tensor needs 66: the end is missing. Was it downloaded whole?',
    { file: 't.safetensors', expected: 66, found: 65 },
  ],
  [
    'bytes too many',
    () => open(one(), 5),
    'SAFETENSORS_TRAILING',
    't.safetensors has 67 bytes, but its tensors end at byte 66: the rest belongs to none of them',
    { file: 't.safetensors', expected: 66, found: 67 },
  ],
  [
    'no header',
    () => open('', 8),
    'SAFETENSORS_HEADER_LENGTH',
    't.safetensors says that its header has 0 bytes; 2 to 100000000 are possible. It is damaged or not a safetensors file.',
    { file: 't.safetensors', found: 0, limit: 100000000 },
  ],
  [
    'a long header',
    () => open('{}', 0, 100_000_001),
    'SAFETENSORS_HEADER_LENGTH',
    't.safetensors says that its header has 100000001 bytes; 2 to 100000000 are possible. It is damaged or not a safetensors file.',
    { file: 't.safetensors', found: 100000001, limit: 100000000 },
  ],
  [
    'a stray byte',
    () => open(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)),
    'SAFETENSORS_HEADER_UTF8',
    't.safetensors: the header is not UTF-8: the file is damaged or not a safetensors file',
    { file: 't.safetensors', from: 0 },
  ],
  [
    'metadata twice',
    () => open('{"__metadata__":{},"__metadata__":{}}'),
    'SAFETENSORS_METADATA',
    't.safetensors: the header has two entries "__metadata__"',
    { file: 't.safetensors' },
  ],
  [
    'metadata of a list',
    () => open(meta('[]')),
    'SAFETENSORS_METADATA',
    't.safetensors: "__metadata__" must be an object of texts',
    { file: 't.safetensors' },
  ],
  [
    'a number as metadata',
    () => open(meta('{"k":1}')),
    'SAFETENSORS_METADATA',
    't.safetensors: the metadata "k" must be a text',
    { file: 't.safetensors', key: 'k' },
  ],
  [
    'a metadata key twice',
    () => open(meta('{"k":"1","k":"2"}')),
    'SAFETENSORS_METADATA',
    't.safetensors: the metadata "k" occurs twice',
    { file: 't.safetensors', key: 'k' },
  ],
  [
    'a name twice',
    () => open(`${one().slice(0, -1)},${one().slice(1)}`, 4),
    'SAFETENSORS_DUPLICATE_NAME',
    't.safetensors: the header declares tensor "a" twice',
    { file: 't.safetensors', tensor: 'a' },
  ],
  [
    'a number as entry',
    () => open('{"a":1}'),
    'SAFETENSORS_ENTRY',
    't.safetensors: tensor "a" must be an object of dtype, shape and data_offsets',
    { file: 't.safetensors', tensor: 'a' },
  ],
  [
    'no dtype',
    () => open('{"a":{"shape":[1],"data_offsets":[0,4]}}', 4),
    'SAFETENSORS_ENTRY',
    't.safetensors: tensor "a" has no dtype',
    { file: 't.safetensors', tensor: 'a', field: 'dtype' },
  ],
  [
    'no shape',
    () => open('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4),
    'SAFETENSORS_ENTRY',
    't.safetensors: tensor "a" has no shape',
    { file: 't.safetensors', tensor: 'a', field: 'shape' },
  ],
  [
    'no offsets',
    () => open('{"a":{"dtype":"F32","shape":[1]}}', 4),
    'SAFETENSORS_ENTRY',
    't.safetensors: tensor "a" has no data_offsets',
    { file: 't.safetensors', tensor: 'a', field: 'data_offsets' },
  ],
  [
    'two shapes',
    () => open(one({ more: ',"shape":[1]' }), 4),
    'SAFETENSORS_ENTRY',
    't.safetensors: tensor "a" has two fields shape',
    { file: 't.safetensors', tensor: 'a', field: 'shape' },
  ],
  [
    'an unknown dtype',
    () => open(one({ dtype: '"F12"' }), 4),
    'SAFETENSORS_DTYPE',
    't.safetensors: tensor "a" has the dtype "F12"; known are BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64',
    { file: 't.safetensors', tensor: 'a', found: 'F12' },
  ],
  [
    'a number as dtype',
    () => open(one({ dtype: '1' }), 4),
    'SAFETENSORS_DTYPE',
    't.safetensors: tensor "a" has the dtype of a value that is no text; known are BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64',
    { file: 't.safetensors', tensor: 'a', found: null },
  ],
  [
    'an object as shape',
    () => open(one({ shape: '{}' }), 4),
    'SAFETENSORS_SHAPE',
    't.safetensors: tensor "a": shape must be a list',
    { file: 't.safetensors', tensor: 'a' },
  ],
  [
    'a fraction',
    () => open(one({ shape: '[1.5]' }), 4),
    'SAFETENSORS_SHAPE',
    't.safetensors: tensor "a": shape must hold whole numbers from 0 to 2^53 - 1, written in digits',
    { file: 't.safetensors', tensor: 'a' },
  ],
  [
    '33 axes',
    () => open(one({ shape: `[${Array(33).fill(1)}]` }), 4),
    'SAFETENSORS_SHAPE',
    't.safetensors: tensor "a": shape has more than 32 numbers',
    { file: 't.safetensors', tensor: 'a' },
  ],
  [
    'an overflow',
    () => open(one({ shape: '[9007199254740991,2]' }), 4),
    'SAFETENSORS_SHAPE',
    't.safetensors: tensor "a": shape [9007199254740991,2] has more elements than any file can hold',
    { file: 't.safetensors', tensor: 'a', found: [9007199254740991, 2] },
  ],
  [
    'bits past 2^53',
    () => open(one({ shape: '[9007199254740991]' }), 4),
    'SAFETENSORS_SHAPE',
    't.safetensors: tensor "a": shape [9007199254740991] has more elements than any file can hold',
    { file: 't.safetensors', tensor: 'a', found: [9007199254740991] },
  ],
  [
    'one offset',
    () => open(one({ offsets: '[4]' }), 4),
    'SAFETENSORS_OFFSETS',
    't.safetensors: tensor "a": data_offsets must be [begin, end], found [4]',
    { file: 't.safetensors', tensor: 'a', found: [4] },
  ],
  [
    'three offsets',
    () => open(one({ offsets: '[0,4,4]' }), 4),
    'SAFETENSORS_OFFSETS',
    't.safetensors: tensor "a": data_offsets has more than 2 numbers',
    { file: 't.safetensors', tensor: 'a' },
  ],
  [
    'an end before the begin',
    () => open(one({ offsets: '[4,0]' }), 4),
    'SAFETENSORS_OFFSETS',
    't.safetensors: tensor "a": data_offsets must be [begin, end], found [4,0]',
    { file: 't.safetensors', tensor: 'a', found: [4, 0] },
  ],
  [
    'a span of another size',
    () => open(one({ offsets: '[0,8]' }), 8),
    'SAFETENSORS_SPAN',
    't.safetensors: tensor "a": shape [1] of F32 takes 4 bytes, but data_offsets [0, 8] span 8',
    { file: 't.safetensors', tensor: 'a', expected: 4, found: 8 },
  ],
  [
    'a span of another size further on',
    () =>
      open(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,9]}}',
        9,
      ),
    'SAFETENSORS_SPAN',
    't.safetensors: tensor "b": shape [4] of U8 takes 4 bytes, but data_offsets [4, 9] span 5',
    { file: 't.safetensors', tensor: 'b', expected: 4, found: 5 },
  ],
  [
    'half a byte',
    () => open(one({ dtype: '"F4"', offsets: '[0,1]' }), 1),
    'SAFETENSORS_SPAN',
    't.safetensors: tensor "a": shape [1] of F4 takes 0.5 bytes, but data_offsets [0, 1] span 1',
    { file: 't.safetensors', tensor: 'a', expected: 0.5, found: 1 },
  ],
  [
    'an overlap',
    () =>
      open(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
        6,
      ),
    'SAFETENSORS_OVERLAP',
    't.safetensors: tensor "b" overlaps the one before: it begins at byte 2 of the data, where 4 was expected',
    { file: 't.safetensors', tensor: 'b', expected: 4, found: 2 },
  ],
  [
    'a hole',
    () =>
      open(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}}',
        9,
      ),
    'SAFETENSORS_HOLE',
    't.safetensors: tensor "b" leaves a hole before it: it begins at byte 5 of the data, where 4 was expected',
    { file: 't.safetensors', tensor: 'b', expected: 4, found: 5 },
  ],
  [
    'a name of 101 letters',
    () => open(one({ name: 'x'.repeat(101), shape: '[2]' }), 4),
    'SAFETENSORS_SPAN',
    't.safetensors: tensor "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": shape [2] of F32 takes 8 bytes, but data_offsets [0, 4] span 4',
    {
      file: 't.safetensors',
      tensor: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
      expected: 8,
      found: 4,
    },
  ],
  [
    'over a LIMIT, a text too long',
    () => open(meta(`{"k":"${'x'.repeat(LIMITS.text + 1)}"}`)),
    'SAFETENSORS_LIMIT',
    't.safetensors: the header holds a name or text of 8388609 bytes at its byte 22; at most 8388608 fit',
    { file: 't.safetensors', at: 22, limit: 8388608, found: 8388609 },
  ],
  [
    'over a LIMIT, texts too long together',
    () => open(meta(`{"k":"${'x'.repeat(LIMITS.text - 1)}","l":"1"}`)),
    'SAFETENSORS_LIMIT',
    't.safetensors: names and metadata take more than 8388608 bytes, which is not supported',
    { file: 't.safetensors', limit: 8388608 },
  ],
  [
    'over a LIMIT, too many tensors',
    () =>
      open(
        `{${Array.from({ length: LIMITS.tensors + 1 }, (_, i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)}}`,
      ),
    'SAFETENSORS_LIMIT',
    't.safetensors: more than 32768 tensors in one file are not supported',
    { file: 't.safetensors', limit: 32768 },
  ],
])('the header is wrong, %s: code, message and details', async (_, run, code, message, details) => {
  const error = await errorOf(run);
  expect({ code: error?.code, message: error?.message, details: error?.details }).toEqual({ code, message, details });
});

const w: TensorToWrite = { name: 'w', dtype: 'f32', shape: [2], data: pattern(8) };

test.each<[what: string, run: () => Promise<unknown>, code: string, message: string, details: object]>([
  [
    'a kept name',
    () => file([{ ...w, name: '__metadata__' }]),
    'TENSOR_NAME',
    'a tensor cannot be called "__metadata__": the format keeps that name, or it is not valid Unicode',
    { tensor: '__metadata__' },
  ],
  ['two tensors of a name', () => file([w, w]), 'TENSOR_NAME', 'two tensors are called "w"', { tensor: 'w' }],
  [
    'f64',
    () => file([{ ...w, dtype: 'f64' as 'f32' }]),
    'TENSOR_DTYPE',
    'tensor "w" has the dtype f64; f32, f16, bf16, i32 and i64 can be written',
    { tensor: 'w' },
  ],
  [
    'a negative axis',
    () => file([{ ...w, shape: [-2] }]),
    'TENSOR_SHAPE',
    'tensor "w" has the impossible shape [-2]',
    { tensor: 'w' },
  ],
  [
    '33 axes',
    () => file([{ ...w, shape: Array(33).fill(1) }]),
    'TENSOR_SHAPE',
    'tensor "w" has 33 axes; at most 32 can be written',
    { tensor: 'w' },
  ],
  [
    'too few bytes',
    () => file([{ ...w, data: pattern(7) }]),
    'TENSOR_SIZE',
    'tensor "w": shape [2] of f32 takes 8 bytes, but its data has 7',
    { tensor: 'w', expected: 8, found: 7 },
  ],
  [
    'half a character as metadata',
    () => file([], { k: '\udc00' }),
    'METADATA',
    'the metadata "k" must be a text of valid Unicode',
    { key: 'k' },
  ],
  [
    'over a LIMIT, too much metadata',
    () => file([], { k: 'x'.repeat(100_000_000) }),
    'SAFETENSORS_LIMIT',
    '0 tensors with a header of 100000032 bytes do not fit into one file (at most 32768 and 100000000); write several',
    { tensors: 0, header: 100000032 },
  ],
])('what cannot be written, %s: code, message and details', async (_, run, code, message, details) => {
  const error = await errorOf(run);
  expect({ code: error?.code, message: error?.message, details: error?.details }).toEqual({ code, message, details });
});
