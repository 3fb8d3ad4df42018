import { writeSafetensors } from '../src/index.ts';

/** A small seeded generator (mulberry32): the same seed gives the same mutants. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The file that mutants start from: several dtypes, a scalar, an empty tensor, metadata. */
export async function seedFile(): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const tensors = [
    { name: 'a', dtype: 'f32', shape: [2, 3], data: new Uint8Array(24).fill(1) },
    { name: 'b.weight', dtype: 'f16', shape: [4], data: new Uint8Array(8).fill(2) },
    { name: 'scalar', dtype: 'i64', shape: [], data: new Uint8Array(8).fill(3) },
    { name: 'empty', dtype: 'bf16', shape: [0, 5], data: new Uint8Array(0) },
    { name: 'ü', dtype: 'bf16', shape: [1, 1, 3], data: new Uint8Array(6).fill(4) },
  ] as const;
  for await (const piece of writeSafetensors(tensors, { format: 'pt', note: 'ok' })) parts.push(piece);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]|[a-z]+|\s+|./gsu;

// Spellings at the borders of what readers accept.
const ODD = (
  '0|1|-0|-1|1.0|1e0|1E+2|01|00|1e999|-1e999|1.7976931348623159e308|9007199254740991|9007199254740992|4294967296|' +
  '18446744073709551615|18446744073709551616|99999999999999999999999|true|false|null|NaN|Infinity|[]|{}|[[]]|' +
  '[0]|[0,0]|[0,4]|{"F32":null}|""|"a"|"b.weight"|"\\u0061"|"\\ud800"|"\\udc00"|"\\ud83d\\ude00"|"\\ud800\\u0041"|"\\x41"|' +
  '"\\/"|"\u0001"|"\u007f\u2028"|"\ufeff"|"__metadata__"|"dtype"|"shape"|"data_offsets"|"__proto__"|"constructor"|"F32"|' +
  '"F16"|"BF16"|"I64"|"U8"|"BOOL"|"F4"|"F6_E2M3"|"F8_E4M3"|"C64"|"F64"|"f32"|"F33"|,|:|{|}|[|]|"| |\t|\n|\u00a0|\ufeff|//|' +
  "/**/|'a'|\\"
).split('|');

/** Extra members that the format does not know, and whole entries. */
const EXTRA = [
  '"x":1,',
  '"x":{"y":[1e5,-0.5e-3,"\\n",null,true]},',
  '"dtype":"F32",',
  '"shape":[1],',
  '"__metadata__":{"k":"v"},',
  '"__metadata__":null,',
  '"z":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},',
  '"z":{"dtype":"U8","shape":[1],"data_offsets":[46,47]},',
  '"z":{"dtype":"F4","shape":[3],"data_offsets":[46,47]},',
  '"z":["U8",[0],[0,0]],',
  '"k":"v",',
];

/** Replaces the header and sets its length right. */
function withHeader(file: Uint8Array, headerLength: number, header: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + header.length + file.length - 8 - headerLength);
  new DataView(out.buffer).setBigUint64(0, BigInt(header.length), true);
  out.set(header, 8);
  out.set(file.subarray(8 + headerLength), 8 + header.length);
  return out;
}

/** A header beyond what a reader should keep in memory: too many tensors, or too much text. */
function oversized(many: boolean): Uint8Array {
  const entry = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
  const text = many
    ? `{${Array.from({ length: 32_769 }, (_, i) => `"${i}":${entry}`).join()}}`
    : `{"__metadata__":{"k":"${'x'.repeat(9 << 20)}"}}`;
  return new TextEncoder().encode(text);
}

/**
 * One mutant: most change tokens of the header and keep its length right, so that deep checks are reached; a tenth change
 * raw bytes, the length, or the file's end.
 */
export function mutate(seed: Uint8Array, next: () => number): Uint8Array {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const below = (n: number): number => Math.floor(next() * n);
  let file: Uint8Array = seed.slice();
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const kind = next();
  if (kind < 0.03) {
    for (let n = 1 + below(3); n > 0; n--) file[below(file.length)] = below(256);
    return file;
  }
  if (kind < 0.05) {
    const value = pick([
      0n,
      1n,
      2n,
      BigInt(length - 1),
      BigInt(length + 8),
      BigInt(file.length),
      100_000_001n,
      1n << 40n,
      1n << 63n,
    ]);
    new DataView(file.buffer).setBigUint64(0, value, true);
    return file;
  }
  if (kind < 0.07) return file.slice(0, below(file.length));
  if (kind < 0.09) {
    const longer = new Uint8Array(file.length + 1 + below(9));
    longer.set(file);
    return longer;
  }
  let text = new TextDecoder().decode(file.subarray(8, 8 + length));
  if (kind < 0.12) {
    // One tensor moved as a whole, or given another size in shape and offsets alike: holes and overlaps.
    const step = pick([-32, -8, -4, 4, 8, 1000]);
    const spans = [...text.matchAll(/\[(\d+),(\d+)\]\}/g)];
    const span = pick(spans);
    const [begin, end] = [Number(span[1]), Number(span[2])].map((n) => Math.max(0, n + step));
    text = `${text.slice(0, span.index)}[${begin},${end}]}${text.slice(span.index + span[0].length)}`;
    return withHeader(file, length, new TextEncoder().encode(text));
  }
  if (kind < 0.1202) return withHeader(file, length, oversized(next() < 0.5));
  const tokens = text.match(TOKEN)!;
  for (let n = 1 + below(next() < 0.7 ? 1 : 4); n > 0; n--) {
    const at = below(tokens.length);
    const how = next();
    if (how < 0.3) tokens[at] = pick(ODD);
    else if (how < 0.4) tokens[at] = '';
    else if (how < 0.5) tokens.splice(at, 0, pick(tokens));
    else if (how < 0.6) tokens[at] = pick(tokens);
    else if (how < 0.7) {
      const other = below(tokens.length);
      [tokens[at], tokens[other]] = [tokens[other]!, tokens[at]!];
    } else if (how < 0.8) {
      const braces = [...tokens.keys()].filter((i) => tokens[i] === '{');
      if (braces.length > 0) tokens[pick(braces)] += pick(EXTRA);
    } else if (how < 0.9) {
      const numbers = [...tokens.keys()].filter((i) => /^\d+$/.test(tokens[i]!));
      const number = numbers.length > 0 ? pick(numbers) : at;
      tokens[number] = String(Math.max(0, Number(tokens[number]) + pick([-8, -4, -1, 1, 2, 4, 8, 46])));
    } else if (how < 0.93) {
      const deep = pick([10, 124, 125, 126, 127, 128, 5000]);
      const brace = tokens.indexOf('{', 1);
      if (brace >= 0) tokens[brace] += `"x":${'['.repeat(deep)}${']'.repeat(deep)},`;
    } else tokens.splice(at, 1 + below(12));
  }
  const header = new TextEncoder().encode(tokens.join(''));
  if (next() < 0.03 && header.length > 0) header[below(header.length)] = 0x80 + below(128);
  file = withHeader(file, length, header);
  return file;
}
