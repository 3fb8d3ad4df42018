import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { LIMITS, memorySource, openSafetensors } from '../src/index.ts';
import { codeOf, file, messageOf, pattern, raw } from './helpers.ts';

const open = (bytes: Uint8Array) => openSafetensors(memorySource('t.safetensors', bytes));
const code = (bytes: Uint8Array) => codeOf(() => open(bytes));

/** A header of one f32 tensor `a` with some of its parts replaced. */
const one = ({ name = 'a', dtype = '"F32"', shape = '[1]', offsets = '[0,4]', more = '' } = {}): string =>
  `{"${name}":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}${more}}}`;

test('what Python wrote is read: names, dtypes, shapes and places in file order', async () => {
  const bytes = await loadFixture('safetensors/python.safetensors');
  const opened = await open(bytes);
  expect([...opened.metadata]).toEqual([['format', 'pt']]);
  expect([...opened.tensors.values()].map(({ name, dtype, shape }) => `${name} ${dtype} [${shape}]`)).toEqual([
    'ids I64 [3]',
    '10 F32 [1]',
    '9 F32 [2]',
    'empty F32 [0,3]',
    'quote " backslash \\ tab \t bell \x07 umlaut ü F32 [1]',
    'scalar F32 []',
    'counts I32 [2,1,2]',
    'half.weight BF16 [4,3]',
    'a.weight F16 [2]',
    'b.weight F16 [3,5]',
    '\ue000 private use F16 [1]',
    '🐍 astral F16 [1]',
  ]);
  const counts = opened.tensors.get('counts')!;
  expect(bytes.slice(opened.dataStart + counts.begin, opened.dataStart + counts.end)).toEqual(pattern(16, 5));
});

test('every truncation of a file is refused, at all lengths', async () => {
  const bytes = await loadFixture('safetensors/python.safetensors');
  await open(bytes);
  for (let length = 0; length < bytes.length; length++) {
    expect(await code(bytes.slice(0, length)), `cut to ${length} bytes`).toBe('SAFETENSORS_TRUNCATED');
  }
});

test.each([
  ['no tensors', '{}', 0],
  ['spaces and line ends after the header', '{}  \n\r\t ', 0],
  ['spaces inside', ` { "a" : { "dtype" : "F32" , "shape" : [ 1 ] , "data_offsets" : [ 0 , 4 ] } } `.trimStart(), 4],
  ['a scalar', one({ shape: '[]' }), 4],
  ['an empty tensor', one({ shape: '[0,3]', offsets: '[0,0]' }), 0],
  ['escapes in names, a surrogate pair among them', one({ name: '\\u0061\\ud83d\\uDE00\\/\\b' }), 4],
  ['an escaped dtype and field', '{"a":{"dtyp\\u0065":"\\u004632","shape":[1],"data_offsets":[0,4]}}', 4],
  ['fields that the format does not know', one({ more: ',"x":{"y":[1e5,-0.5E-3,null,true,false,"\\n",{},[]]}' }), 4],
  ['127 open brackets in them', one({ more: `,"x":${'['.repeat(125)}${']'.repeat(125)}` }), 4],
  ['names that objects have', one({ name: '__proto__', more: ',"__proto__":1,"constructor":{}' }), 4],
  ['an empty name', one({ name: '' }), 4],
  ['half-byte elements that fill bytes', one({ dtype: '"F4"', shape: '[2]', offsets: '[0,1]' }), 1],
  ['6-bit elements that fill bytes', one({ dtype: '"F6_E2M3"', shape: '[4]', offsets: '[0,3]' }), 3],
  ['metadata at the end', '{"__metadata__":{"x":"\\u00fc"}}', 0],
])('accepted like the reference: %s', async (_, header, data) => {
  await open(raw(header, data));
});

test('characters of several bytes on any border of 64 KiB, at which UTF-8 is checked', async () => {
  for (let shift = 0; shift < 4; shift++) {
    const value = `${'x'.repeat(shift)}${'ü🐍中'.repeat(16_000)}`;
    const opened = await open(raw(`{"__metadata__":{"k":"${value}"}}`));
    expect(opened.metadata.get('k') === value).toBe(true);
  }
  const cut = new TextEncoder().encode(`{"__metadata__":{"k":"${'x'.repeat(70_000)}ü`).slice(0, -1);
  expect(await code(raw(cut))).toBe('SAFETENSORS_HEADER_UTF8');
});

test('the signal goes into each read', async () => {
  const source = memorySource('t', raw('{}'));
  const { signal } = new AbortController();
  const signals: unknown[] = [];
  await openSafetensors(
    {
      ...source,
      read: (offset, length, options) => {
        signals.push(options?.signal);
        return source.read(offset, length, options);
      },
    },
    signal,
  );
  expect(signals).toEqual([signal, signal]);
});

test('header order is free, empty tensors may lie between others', async () => {
  const entry = (begin: number, end: number) =>
    `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`;
  const header = `{"c":${entry(4, 9)},"d":${entry(4, 4)},"a":${entry(0, 4)},"e":${entry(9, 9)},"b":${entry(0, 0)}}`;
  const opened = await open(raw(header, 9));
  expect([...opened.tensors.keys()]).toEqual(['b', 'a', 'd', 'c', 'e']);
});

describe('one error code for each malformation', () => {
  const two = (first: string, second: string) =>
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":${first}},"b":{"dtype":"U8","shape":[4],"data_offsets":${second}}}`;
  const bad: [code: string, what: string, bytes: Uint8Array][] = [
    ['SAFETENSORS_TRUNCATED', 'an empty file', new Uint8Array(0)],
    ['SAFETENSORS_TRUNCATED', 'a header longer than the file', raw('{}', 0, 3)],
    ['SAFETENSORS_TRUNCATED', 'a tensor past the end', raw(one(), 3)],
    ['SAFETENSORS_TRAILING', 'a byte too many', raw(one(), 5)],
    ['SAFETENSORS_TRAILING', 'data without tensors', raw('{}', 1)],
    ['SAFETENSORS_HEADER_LENGTH', 'no header', raw('', 8)],
    ['SAFETENSORS_HEADER_LENGTH', 'over 100,000,000 bytes', raw('{}', 0, 100_000_001)],
    ['SAFETENSORS_HEADER_LENGTH', 'a length that would be negative', raw('{}', 0, 2n ** 64n - 1n)],
    ['SAFETENSORS_HEADER_LENGTH', 'a length that wraps in 32 bits', raw('{}', 0, 2n ** 32n + 2n)],
    ['SAFETENSORS_HEADER_UTF8', 'a stray byte', raw(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d))],
    ['SAFETENSORS_HEADER_UTF8', 'an encoded surrogate', raw(Uint8Array.of(0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d))],
    ['SAFETENSORS_HEADER_UTF8', 'a sequence cut off at the end', raw(Uint8Array.of(0x7b, 0x7d, 0xc3))],
    ['SAFETENSORS_HEADER_JSON', 'a list', raw('[]')],
    ['SAFETENSORS_HEADER_JSON', 'a byte order mark', raw('\ufeff{}')],
    ['SAFETENSORS_HEADER_JSON', 'space before the brace', raw(' {}')],
    ['SAFETENSORS_HEADER_JSON', 'NUL after the header', raw('{}\0')],
    ['SAFETENSORS_HEADER_JSON', 'a second value', raw('{}{}')],
    ['SAFETENSORS_HEADER_JSON', 'a trailing comma', raw(`${one().slice(0, -1)},}`, 4)],
    ['SAFETENSORS_HEADER_JSON', 'no comma', raw('{"__metadata__":{"a":"b""c":"d"}}')],
    ['SAFETENSORS_HEADER_JSON', 'no colon', raw('{"a"{}}')],
    ['SAFETENSORS_HEADER_JSON', 'a bare name', raw('{a:1}')],
    ['SAFETENSORS_HEADER_JSON', 'an unfinished object', raw('{ ')],
    ['SAFETENSORS_HEADER_JSON', 'an unfinished string', raw('{"a')],
    ['SAFETENSORS_HEADER_JSON', 'a control character in a name', raw(one({ name: 'a\x01' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'an unknown escape', raw(one({ name: '\\x41' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a bad hexadecimal digit', raw(one({ name: '\\u00g0' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a lone leading surrogate', raw(one({ name: '\\ud800' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a lone trailing surrogate', raw(one({ name: '\\udc00\\ud800' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a leading surrogate before a letter', raw(one({ name: '\\ud800\\u0041' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a lone surrogate in an unknown field', raw(one({ more: ',"x":"\\ud800"' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a number out of range there', raw(one({ more: ',"x":1e999' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a number next to that range', raw(one({ more: ',"x":-1.7976931348623157e308' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a number of 1000 digits there', raw(one({ more: `,"x":0.${'1'.repeat(1000)}` }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a leading zero there', raw(one({ more: ',"x":01' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'an empty fraction there', raw(one({ more: ',"x":1.' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'an empty exponent there', raw(one({ more: ',"x":1e+' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'a word there', raw(one({ more: ',"x":nul' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'NaN there', raw(one({ more: ',"x":NaN' }), 4)],
    ['SAFETENSORS_HEADER_JSON', 'mismatched brackets there', raw(one({ more: ',"x":[{]}' }), 4)],
    [
      'SAFETENSORS_HEADER_JSON',
      '128 open brackets',
      raw(one({ more: `,"x":${'['.repeat(126)}${']'.repeat(126)}` }), 4),
    ],
    ['SAFETENSORS_HEADER_JSON', 'a million open brackets', raw(one({ more: `,"x":${'['.repeat(1e6)}` }), 4)],
    ['SAFETENSORS_METADATA', 'a number as metadata', raw('{"__metadata__":{"a":1}}')],
    ['SAFETENSORS_METADATA', 'a list as metadata', raw('{"__metadata__":[]}')],
    ['SAFETENSORS_METADATA', 'null as metadata', raw('{"__metadata__":null}')],
    ['SAFETENSORS_METADATA', 'metadata twice', raw('{"__metadata__":{},"__metadata__":{}}')],
    ['SAFETENSORS_METADATA', 'a metadata key twice', raw('{"__metadata__":{"a":"b","\\u0061":"c"}}')],
    ['SAFETENSORS_DUPLICATE_NAME', 'a name twice', raw(`${one().slice(0, -1)},${one().slice(1)}`, 4)],
    [
      'SAFETENSORS_DUPLICATE_NAME',
      'spelled differently',
      raw(`${one().slice(0, -1)},${one({ name: '\\u0061' }).slice(1)}`, 4),
    ],
    ['SAFETENSORS_ENTRY', 'null as entry', raw('{"a":null}')],
    ['SAFETENSORS_ENTRY', 'a list as entry', raw('{"a":["F32",[1],[0,4]]}', 4)],
    ['SAFETENSORS_ENTRY', 'no dtype', raw('{"a":{"shape":[1],"data_offsets":[0,4]}}', 4)],
    ['SAFETENSORS_ENTRY', 'no shape', raw('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4)],
    ['SAFETENSORS_ENTRY', 'no offsets', raw('{"a":{"dtype":"F32","shape":[1]}}', 4)],
    ['SAFETENSORS_ENTRY', 'two dtypes', raw(one({ more: ',"dtype":"F32"' }), 4)],
    ['SAFETENSORS_ENTRY', 'two shapes', raw(one({ more: ',"shape":[1]' }), 4)],
    ['SAFETENSORS_ENTRY', 'two offsets', raw(one({ more: ',"data_offsets":[0,4]' }), 4)],
    ['SAFETENSORS_DTYPE', 'an unknown dtype', raw(one({ dtype: '"f32"' }), 4)],
    ['SAFETENSORS_DTYPE', 'a dtype that objects have', raw(one({ dtype: '"toString"' }), 4)],
    ['SAFETENSORS_DTYPE', 'an object as dtype', raw(one({ dtype: '{"F32":null}' }), 4)],
    ['SAFETENSORS_SHAPE', 'a shape that is no list', raw(one({ shape: 'null' }), 4)],
    ['SAFETENSORS_SHAPE', 'a fraction', raw(one({ shape: '[1.0]' }), 4)],
    ['SAFETENSORS_SHAPE', 'an exponent', raw(one({ shape: '[1e0]' }), 4)],
    ['SAFETENSORS_SHAPE', 'a negative axis', raw(one({ shape: '[-1]' }), 4)],
    ['SAFETENSORS_SHAPE', 'a leading zero', raw(one({ shape: '[01]' }), 4)],
    ['SAFETENSORS_SHAPE', 'a text', raw(one({ shape: '["1"]' }), 4)],
    ['SAFETENSORS_SHAPE', 'true', raw(one({ shape: '[true]' }), 4)],
    ['SAFETENSORS_SHAPE', '2^53', raw(one({ shape: '[9007199254740992,0]', offsets: '[0,0]' }))],
    [
      'SAFETENSORS_SHAPE',
      'a product that wraps in 64 bits',
      raw(one({ shape: '[4294967296,4294967296]', offsets: '[0,0]' })),
    ],
    ['SAFETENSORS_SHAPE', 'an overflow before a zero', raw(one({ shape: '[9007199254740991,2,0]', offsets: '[0,0]' }))],
    ['SAFETENSORS_SHAPE', 'bytes past 2^53', raw(one({ shape: '[9007199254740991]', offsets: '[0,4]' }), 4)],
    ['SAFETENSORS_SHAPE', '33 axes', raw(one({ shape: `[${Array(33).fill(1)}]` }), 4)],
    ['SAFETENSORS_OFFSETS', 'one offset', raw(one({ offsets: '[0]' }), 4)],
    ['SAFETENSORS_OFFSETS', 'three offsets', raw(one({ offsets: '[0,4,8]' }), 4)],
    ['SAFETENSORS_OFFSETS', 'the end before the begin', raw(one({ offsets: '[4,0]' }), 4)],
    ['SAFETENSORS_OFFSETS', 'minus zero', raw(one({ offsets: '[-0,4]' }), 4)],
    ['SAFETENSORS_OFFSETS', 'an object', raw(one({ offsets: '{"0":0,"1":4}' }), 4)],
    ['SAFETENSORS_OFFSETS', 'past 2^64', raw(one({ offsets: '[0,18446744073709551620]' }), 4)],
    ['SAFETENSORS_SPAN', 'a span longer than the shape', raw(one({ offsets: '[0,8]' }), 8)],
    ['SAFETENSORS_SPAN', 'a span shorter than the shape', raw(one({ shape: '[2]' }), 4)],
    ['SAFETENSORS_SPAN', 'half a byte', raw(one({ dtype: '"F4"', shape: '[1]', offsets: '[0,0]' }))],
    ['SAFETENSORS_OVERLAP', 'one tensor over another', raw(two('[0,4]', '[2,6]'), 6)],
    ['SAFETENSORS_OVERLAP', 'two in one place', raw(two('[0,4]', '[0,4]'), 4)],
    ['SAFETENSORS_HOLE', 'a hole between', raw(two('[0,4]', '[5,9]'), 9)],
    ['SAFETENSORS_HOLE', 'a hole at the start', raw(two('[1,5]', '[5,9]'), 9)],
    [
      'SAFETENSORS_LIMIT',
      'more metadata than is kept',
      raw(`{"__metadata__":{"a":"${'x'.repeat(LIMITS.text - 9)}","b":"123456789"}}`),
    ],
    [
      'SAFETENSORS_LIMIT',
      'longer names than are kept',
      raw(
        `{${Array.from({ length: 9 }, (_, i) => `"${i}${'x'.repeat(1 << 20)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)}}`,
      ),
    ],
  ];
  test.each(bad)('%s: %s', async (expected, _, bytes) => {
    expect(await code(bytes)).toBe(expected);
  });
});

test('messages name the file, the tensor, what was expected and what was found', async () => {
  expect(await messageOf(() => open(raw(one({ offsets: '[0,8]' }), 8)))).toBe(
    't.safetensors: tensor "a": shape [1] of F32 takes 4 bytes, but data_offsets [0, 8] span 8',
  );
});

test('only the header is read', async () => {
  const bytes = await file([{ name: 'a', dtype: 'f32', shape: [1000], data: new Uint8Array(4000) }]);
  const source = memorySource('t', bytes);
  let last = 0;
  const opened = await openSafetensors({
    ...source,
    read: (offset, length, options) => {
      last = Math.max(last, offset + length);
      return source.read(offset, length, options);
    },
  });
  expect(last).toBe(opened.dataStart);
});
