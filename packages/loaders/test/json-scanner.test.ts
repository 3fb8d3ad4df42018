import { expect, test } from 'vitest';
import { memorySource, openSafetensors } from '../src/index.ts';
import { JsonScanner } from '../src/safetensors/json-scanner.ts';
import { codeOf, errorOf, raw } from './helpers.ts';

/** The metadata value written as `text` between quotes, or the code that refuses it. */
async function metadata(text: string): Promise<string | undefined> {
  const open = () => openSafetensors(memorySource('t', raw(`{"__metadata__":{"k":"${text}"}}`)));
  const code = await codeOf(open);
  return code === 'no error' ? (await open()).metadata.get('k') : code;
}

/** What JSON.parse makes of the same, where the reference reader takes it too: no half characters. */
function parsed(text: string): string {
  try {
    const value = JSON.parse(`"${text}"`) as string;
    return value.isWellFormed() ? value : 'SAFETENSORS_HEADER_JSON';
  } catch {
    return 'SAFETENSORS_HEADER_JSON';
  }
}

const hex = (unit: number, upper = false): string => {
  const digits = unit.toString(16).padStart(4, '0');
  return `\\u${upper ? digits.toUpperCase() : digits}`;
};

test('escapes of one letter mean what JSON says, and no other exists', async () => {
  for (let code = 0x20; code < 0x7f; code++) {
    const letter = String.fromCharCode(code);
    if (letter === 'u') continue;
    const text = `a\\${letter}b`;
    expect(await metadata(text), text).toBe(parsed(text));
  }
  expect(await metadata('\\"\\\\\\/\\b\\f\\n\\r\\t')).toBe('"\\/\b\f\n\r\t');
});

test('escapes by number: each border of the surrogates, both cases, alone and in pairs', async () => {
  const units = [0, 1, 0x39, 0x7f, 0x80, 0x7ff, 0x800, 0x1234, 0x9a9f, 0xabcd, 0xd7ff, 0xe000, 0xe001, 0xfffe, 0xffff];
  const surrogates = [0xd800, 0xd801, 0xdbff, 0xdc00, 0xdc01, 0xdfff];
  for (const unit of [...units, ...surrogates]) {
    for (const text of [hex(unit), hex(unit, true), `${hex(unit)}x`])
      expect(await metadata(text), text).toBe(parsed(text));
    for (const second of [...units, ...surrogates]) {
      const text = hex(unit) + hex(second, true);
      expect(await metadata(text), text).toBe(parsed(text));
    }
  }
  for (const text of ['\\ud800\\', '\\ud800u', '\\ud800u dc00', '\\ud800\\n', '\\ud800xudc00']) {
    expect(await metadata(text), text).toBe(parsed(text));
  }
});

test('hexadecimal digits: every ASCII character at each of the four places', async () => {
  for (let code = 0x20; code < 0x7f; code++) {
    for (let place = 0; place < 4; place++) {
      const digits = ['0', '0', '4', '1'];
      digits[place] = String.fromCharCode(code);
      const text = `\\u${digits.join('')}`;
      expect(await metadata(text), text).toBe(parsed(text));
    }
  }
});

test('values that are skipped: accepted exactly where JSON.parse accepts them (6,000 random texts, half of them broken)', async () => {
  let state = 7;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const space = (): string => pick(['', '', '', ' ', '\n\t', '\r ']);
  const scalars = 'true false null 0 -0 9 10 -123 1.0 0.5 1e5 1E+9 2e-10 -1.25e2 "" "a" "\\n" "\\u00e9"'.split(' ');
  const value = (depth: number): string => {
    const kind = depth > 3 ? 0 : random(4);
    const items = (item: () => string): string => Array.from({ length: random(4) }, item).join(`${space()},${space()}`);
    if (kind === 1) return `[${space()}${items(() => value(depth + 1))}${space()}]`;
    if (kind === 2) {
      return `{${space()}${items(() => `"${pick(['a', 'b', ''])}"${space()}:${space()}${value(depth + 1)}`)}${space()}}`;
    }
    return pick(scalars);
  };
  let accepted = 0;
  for (let i = 0; i < 6000; i++) {
    let text = value(0);
    if (i % 2 === 1) {
      const at = random(text.length + 1);
      text = text.slice(0, at) + pick([...'[]{},:"-+.0e1tn\\ ', '']) + text.slice(at + random(2));
    }
    let valid = true;
    try {
      JSON.parse(text);
    } catch {
      valid = false;
    }
    const scanner = new JsonScanner(new TextEncoder().encode(`${text} `), 't');
    const code = await codeOf(() => {
      scanner.skipValue(0);
      scanner.end();
    });
    expect(code, text).toBe(valid ? 'no error' : 'SAFETENSORS_HEADER_JSON');
    if (valid) accepted++;
  }
  expect(accepted).toBeGreaterThan(3000);
  expect(accepted).toBeLessThan(5500);
});

test('whole numbers: digits alone, without leading zero, up to 2^53 - 1', () => {
  const integer = (text: string): [number, number] => {
    const scanner = new JsonScanner(new TextEncoder().encode(text), 't');
    return [scanner.integer(), scanner.at];
  };
  for (const text of ['0', '7', '10', '9007199254740991', '19', '90'])
    expect(integer(text)).toEqual([Number(text), text.length]);
  expect(integer(' \n12,')).toEqual([12, 4]);
  expect(integer('5]')).toEqual([5, 1]);
  for (const text of ['', '-1', '01', '00', '1.0', '1e2', '1E2', '9007199254740992', 'x', '"1"', '/', ':']) {
    expect(integer(text), text).toEqual([Number.NaN, 0]);
  }
});

test('a text may have as many bytes as allowed, as written', async () => {
  const string = (text: string, most: number) => () =>
    new JsonScanner(new TextEncoder().encode(text), 't').string(most);
  expect(string(' "abc"', 3)()).toBe('abc');
  expect(string('"\\n"', 2)()).toBe('\n');
  const error = await errorOf(string(' "abcd"', 3));
  expect([error?.code, error?.message, error?.details]).toEqual([
    'SAFETENSORS_LIMIT',
    't: the header holds a name or text of 4 bytes at its byte 2; at most 3 fit',
    { file: 't', at: 2, limit: 3, found: 4 },
  ]);
  expect(await codeOf(string('"ü"', 1))).toBe('SAFETENSORS_LIMIT');
  expect((await errorOf(string('x', 9)))?.message).toContain('at its byte 0, a string was expected and "x" was found');
});

test('words that are expected and others of their length are told apart', () => {
  const words = ['dtype', 'shape', 'F32', 'F16'];
  for (const text of ['dtype', 'shape', 'dtypx', 'xtype', 'F32', 'F31', '', 'ü2', 'dtype2']) {
    expect(new JsonScanner(new TextEncoder().encode(`"${text}"`), 't', words).string()).toBe(text);
  }
});

test('a byte order mark inside a text stays', async () => {
  expect(await metadata('\ufeffa')).toBe('\ufeffa');
});
