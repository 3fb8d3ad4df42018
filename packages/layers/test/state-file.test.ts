import { crc32, isMambaError } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { decodeState, encodeState, type StateOwner } from '../src/state-file.ts';
import { StateLayoutBuilder } from '../src/state-layout.ts';

const layout = new StateLayoutBuilder();
layout.add('layers.0.conv', [3, 2]);
layout.add('layers.0.ssm', [3, 4]);
const owner: StateOwner = { model: 'mamba', fingerprint: '0123456789abcdef', adapter: null, layout };
const values = Float32Array.from({ length: layout.length }, (_, i) => i / 7 - 1);
const file = encodeState(owner, 12, values);
const headerEnd = 16 + new DataView(file.buffer).getUint32(12, true);
const header = JSON.parse(new TextDecoder().decode(file.subarray(16, headerEnd)));

/** The code of the error, which must be one of ours; `null` where it was read. */
function codeOf(bytes: Uint8Array, by = owner): string | null {
  try {
    decodeState(by, bytes);
    return null;
  } catch (error) {
    if (isMambaError(error)) return error.code;
    throw error;
  }
}

/** A file around any header and payload, its lengths and checksum right. */
function fileWith(
  headerBytes: Uint8Array,
  payload: Uint8Array,
  { version = 1, headerLength = headerBytes.length } = {},
) {
  const bytes = new Uint8Array(16 + headerBytes.length + payload.length + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(file.subarray(0, 8));
  view.setUint32(8, version, true);
  view.setUint32(12, headerLength, true);
  bytes.set(headerBytes, 16);
  bytes.set(payload, 16 + headerBytes.length);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  return bytes;
}
const payload = file.slice(headerEnd, -4);
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const edited = (change: object): Uint8Array => fileWith(json({ ...header, ...change }), payload);

test('is read as it was written, at any offset of a buffer', () => {
  const shifted = new Uint8Array(file.length + 3);
  shifted.set(file, 3);
  expect(decodeState(owner, shifted.subarray(3))).toEqual({ position: 12, values });
  expect(fileWith(json(header), payload)).toEqual(file);
});

test('CRC-32 of the check string', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
});

test('other weights, another layout, another adapter: each has its code', () => {
  expect(codeOf(file, { ...owner, fingerprint: 'fedcba9876543210' })).toBe('STATE_MODEL');
  const other = new StateLayoutBuilder();
  other.add('layers.0.conv', [2, 3]);
  other.add('layers.0.ssm', [3, 4]);
  expect(codeOf(file, { ...owner, layout: other })).toBe('STATE_MODEL');
  expect(codeOf(file, { ...owner, adapter: 'a' })).toBe('STATE_ADAPTER');
  const adapted = encodeState({ ...owner, adapter: 'a' }, 12, values);
  expect(codeOf(adapted)).toBe('STATE_ADAPTER');
  expect(codeOf(adapted, { ...owner, adapter: 'b' })).toBe('STATE_ADAPTER');
  expect(codeOf(adapted, { ...owner, adapter: 'a' })).toBe(null);
});

describe('a file whose checksum is right and whose content is not', () => {
  const cases: [string, Uint8Array, string | null][] = [
    ['version 2', fileWith(json(header), payload, { version: 2 }), 'STATE_VERSION'],
    ['no header', fileWith(new Uint8Array(0), payload), 'STATE_FORMAT'],
    ['a header past the end', fileWith(json(header), payload, { headerLength: 0xffffffff }), 'STATE_FORMAT'],
    ['a header that takes in the payload', fileWith(json(header), payload, { headerLength: 200 }), 'STATE_FORMAT'],
    ['a header that is not UTF-8', fileWith(Uint8Array.of(0x22, 0xff, 0x22), payload), 'STATE_FORMAT'],
    ['a deep header', fileWith(new TextEncoder().encode('['.repeat(1 << 19)), payload), 'STATE_FORMAT'],
    ['null', fileWith(json(null), payload), 'STATE_FORMAT'],
    ['a list', fileWith(json([]), payload), 'STATE_MODEL'],
    ['too few numbers', fileWith(json(header), payload.subarray(4)), 'STATE_FORMAT'],
    ['too many numbers', fileWith(json(header), new Uint8Array(payload.length + 4)), 'STATE_FORMAT'],
    ['half a number', fileWith(json(header), payload.subarray(0, -2)), 'STATE_FORMAT'],
    ['NaN', fileWith(json(header), new Uint8Array(payload.length).fill(0xff)), 'STATE_FORMAT'],
    ...[-1, 0.5, 2 ** 53, '12', null, {}, [12]].map((position): [string, Uint8Array, string] => [
      `position ${JSON.stringify(position)}`,
      edited({ position }),
      'STATE_FORMAT',
    ]),
    ['no fields', edited({ fields: undefined }), 'STATE_MODEL'],
    ['huge fields', edited({ fields: [{ name: 'layers.0.conv', shape: [2 ** 31, 2 ** 31] }] }), 'STATE_MODEL'],
    ['a model that is no text', edited({ fingerprint: { a: 1 } }), 'STATE_MODEL'],
    ['no adapter', edited({ adapter: undefined }), 'STATE_ADAPTER'],
    ['fields that nobody knows', edited({ more: 1, __proto__: null }), null],
  ];
  test.each(cases)('%s', (_, bytes, code) => {
    expect(codeOf(bytes)).toBe(code);
  });

  test('a message quotes little of it, and no control characters', () => {
    const model = `\u001b[2J${'x'.repeat(100_000)}`;
    expect(() => decodeState(owner, edited({ model, fingerprint: model }))).toThrow(/^[\x20-\x7e]{1,300}$/);
  });
});

test('every truncation and every single flipped bit is refused', () => {
  for (let length = 0; length < file.length; length++) expect(codeOf(file.subarray(0, length))).toBe('STATE_FORMAT');
  for (let bit = 0; bit < 8 * file.length; bit++) {
    const bad = file.slice();
    bad[bit >> 3]! ^= 1 << (bit & 7);
    expect(['STATE_FORMAT', 'STATE_VERSION']).toContain(codeOf(bad));
  }
});

test('20,000 edits with the checksum mended: read, or an error of ours', () => {
  let seed = 1;
  const below = (n: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  const seen = new Map<string | null, number>();
  for (let round = 0; round < 20_000; round++) {
    let bytes = file.slice();
    for (let edits = 1 + below(3); edits > 0; edits--) {
      const at = below(bytes.length);
      if (below(4) === 0) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + below(9))]);
      else bytes[at] = below(2) === 0 ? below(256) : [0, 0x22, 0x2c, 0x5b, 0x7b, 0x7d, 0x30, 0xff][below(8)]!;
    }
    if (bytes.length >= 4) new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
    const code = codeOf(bytes);
    seen.set(code, (seen.get(code) ?? 0) + 1);
  }
  const codes: (string | null)[] = [null, 'STATE_FORMAT', 'STATE_VERSION', 'STATE_MODEL', 'STATE_ADAPTER'];
  for (const code of codes) expect(seen.get(code) ?? 0, `${code}`).toBeGreaterThan(0);
  expect([...seen.keys()].filter((code) => !codes.includes(code))).toEqual([]);
});
