import { crc32, isMambaError } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { decodeSession, encodeSession, type SessionContent } from '../src/session/file.ts';
import type { Turn } from '../src/session/types.ts';

const VOCAB = 100;
const turn = (change: Partial<Turn> = {}): Turn => ({
  kind: 'answer',
  prompt: 'Wer da?',
  answer: 'Nein, mir antwortet: ',
  rest: '\n\n',
  promptTokens: 3,
  answerTokens: 2,
  stopReason: 'stop',
  seed: 7,
  ...change,
});
const system = turn({
  kind: 'system',
  answer: '',
  rest: '',
  promptTokens: 1,
  answerTokens: 0,
  stopReason: null,
  seed: null,
});
const content: SessionContent = {
  turns: [
    { turn: system, ids: Int32Array.of(99) },
    { turn: turn(), ids: Int32Array.of(1, 2, 3, 4, 5) },
  ],
  settings: { temperature: 0.8, seed: 7, stop: ['\n\n'], logitBias: { 5: Number.NEGATIVE_INFINITY, 6: 1.5 } },
  states: [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)],
};
const file = encodeSession(content);
const headerEnd = 16 + new DataView(file.buffer).getUint32(12, true);
const header = JSON.parse(new TextDecoder().decode(file.subarray(16, headerEnd)));

function codeOf(bytes: Uint8Array): string | null {
  try {
    decodeSession(bytes, VOCAB);
    return null;
  } catch (error) {
    if (isMambaError(error)) return error.code;
    throw error;
  }
}

/** A file with another header or payload, its lengths and checksum right. */
function fileWith(json: string, payload: Uint8Array = file.subarray(headerEnd, -4), version = 1): Uint8Array {
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(16 + text.length + payload.length + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(file.subarray(0, 8));
  view.setUint32(8, version, true);
  view.setUint32(12, text.length, true);
  bytes.set(text, 16);
  bytes.set(payload, 16 + text.length);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  return bytes;
}
const edited = (change: object): Uint8Array => fileWith(JSON.stringify({ ...header, ...change }));
const withTurn = (change: object): Uint8Array =>
  edited({ turns: [header.turns[0], { ...header.turns[1], ...change }] });

test('is read as it was written, at any offset of a buffer; forbidden ids stay forbidden', () => {
  const shifted = new Uint8Array(file.length + 5);
  shifted.set(file, 5);
  expect(decodeSession(shifted.subarray(5), VOCAB)).toEqual(content);
  expect(fileWith(JSON.stringify(header))).toEqual(file);
});

describe('a file whose checksum is right and whose content is not', () => {
  const cases: [string, Uint8Array, string][] = [
    ['version 2', fileWith(JSON.stringify(header), undefined, 2), 'SESSION_VERSION'],
    ['no JSON', fileWith('{'), 'SESSION_FORMAT'],
    ['deep JSON', fileWith('['.repeat(1 << 20)), 'SESSION_FORMAT'],
    ['a list', fileWith('[]'), 'SESSION_FORMAT'],
    ['null', fileWith('null'), 'SESSION_FORMAT'],
    ['no turns', edited({ turns: {} }), 'SESSION_FORMAT'],
    ['a turn that is null', edited({ turns: [null] }), 'SESSION_FORMAT'],
    ['no settings', edited({ settings: null }), 'SESSION_FORMAT'],
    ['no seed', edited({ settings: {} }), 'SESSION_FORMAT'],
    ['no states', edited({ states: [] }), 'SESSION_FORMAT'],
    ['states past the end', edited({ states: [3, 3] }), 'SESSION_FORMAT'],
    ['huge states', edited({ states: [2 ** 53 - 1, 2 ** 53 - 1] }), 'SESSION_FORMAT'],
    ['negative states', edited({ states: [8, -3] }), 'SESSION_FORMAT'],
    ['an id too high', fileWith(JSON.stringify(header), withId(0, 100)), 'SESSION_FORMAT'],
    ['an id below 0', fileWith(JSON.stringify(header), withId(5, -1)), 'SESSION_FORMAT'],
    ['a turn without a text', withTurn({ rest: undefined }), 'SESSION_FORMAT'],
    ['a turn of another kind', withTurn({ kind: 'tool' }), 'SESSION_FORMAT'],
    ['the system in the middle', withTurn({ ...system, promptTokens: 5 }), 'SESSION_FORMAT'],
    ['a turn that ended otherwise', withTurn({ stopReason: 'bored' }), 'SESSION_FORMAT'],
    ['an answer without a seed', withTurn({ seed: null }), 'SESSION_FORMAT'],
    ['an answer to nothing', withTurn({ kind: 'text', stopReason: null, seed: null }), 'SESSION_FORMAT'],
    ['huge counts', withTurn({ promptTokens: 2 ** 52, answerTokens: 2 ** 52 }), 'SESSION_FORMAT'],
    ['counts that lack an id', withTurn({ promptTokens: 2 }), 'SESSION_FORMAT'],
    ['half a count', withTurn({ promptTokens: 2.5, answerTokens: 2.5 }), 'SESSION_FORMAT'],
    ['nothing', new Uint8Array(0), 'SESSION_FORMAT'],
  ];
  function withId(index: number, id: number): Uint8Array {
    const payload = file.slice(headerEnd, -4);
    new DataView(payload.buffer).setInt32(4 * index, id, true);
    return payload;
  }
  test.each(cases)('%s', (_, bytes, code) => {
    expect(codeOf(bytes)).toBe(code);
  });
});

test('every truncation and every single flipped bit is refused', () => {
  for (let length = 0; length < file.length; length++) expect(codeOf(file.subarray(0, length))).toBe('SESSION_FORMAT');
  for (let bit = 0; bit < 8 * file.length; bit++) {
    const bad = file.slice();
    bad[bit >> 3]! ^= 1 << (bit & 7);
    expect(['SESSION_FORMAT', 'SESSION_VERSION']).toContain(codeOf(bad));
  }
});

test('20,000 edits with the checksum mended: read, or an error of ours', () => {
  let seed = 1;
  const below = (n: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  const seen = new Set<string | null>();
  for (let round = 0; round < 20_000; round++) {
    let bytes = file.slice();
    for (let edits = 1 + below(3); edits > 0; edits--) {
      const at = below(bytes.length);
      if (below(4) === 0) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + below(9))]);
      else bytes[at] = below(2) === 0 ? below(256) : [0, 0x22, 0x2c, 0x5b, 0x7b, 0x7d, 0x30, 0xff][below(8)]!;
    }
    if (bytes.length >= 4) new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
    seen.add(codeOf(bytes));
  }
  expect([...seen].sort()).toEqual([null, 'SESSION_FORMAT', 'SESSION_VERSION'].sort());
});
