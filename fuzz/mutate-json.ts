import { cloneTree, type JsonNode, parseTree, printTree } from './json-tree.ts';
import type { Random } from './random.ts';

/** Spellings at the borders of what readers of any format accept. */
const NUMBERS = (
  '0|1|-0|-1|2|3|7|8|16|17|64|127|128|255|256|1023|1024|65535|65536|16777215|16777216|16777217|2147483647|2147483648|' +
  '4294967295|4294967296|9007199254740991|9007199254740992|9223372036854775807|18446744073709551615|' +
  '18446744073709551616|99999999999999999999999|1.0|0.5|1e0|1E+2|1e-300|5e-324|1.7976931348623159e308|1e999|-1e999|' +
  '01|00|.5|1.|+1|0x10|NaN|Infinity|-Infinity'
).split('|');

const OTHERS = [
  ...'true|false|null|[]|{}|[[]]|[0]|[0,0]|[null]|{"a":1}|""|"a"|"0"|"true"|"null"|"auto"|True|None|undefined'.split(
    '|',
  ),
  ...'"\\u0061"|"\\ud800"|"\\udc00"|"\\ud83d\\ude00"|"\\ud800\\u0041"|"\\u0000"|"\\x41"|"\\/"|\'a\''.split('|'),
  ...['"\u0001"', '"\u007f\u2028"', '"\ufeff"', '"e\u0301"', '"\u{1f600}"', '"\u202e"', '"../../x"', '"\ufffd"'],
  ...'"__proto__"|"constructor"|"toString"|"hasOwnProperty"|"length"|{"__proto__":{"a":1}}|{"__float__":"Infinity"}'.split(
    '|',
  ),
];

const FACTORS = [0, 0.5, 2, 3, 1000, 1e6, 2 ** 24, 1e300, -1];
const STEPS = [-8, -4, -2, -1, 1, 2, 4, 8, 46];
const COUNTS = [2, 3, 9, 17, 33, 65, 257];
const DEPTHS = [2, 8, 9, 10, 124, 125, 126, 127, 128, 129, 1000, 3000, 20_000];
const LENGTHS = [2, 16, 17, 255, 256, 257, 4096];

/** Words of one format: keys and values (as JSON spells them) that it knows, or that are close to those. */
export interface Vocabulary {
  readonly keys: readonly string[];
  readonly values: readonly string[];
}

/** A place in a tree: a value in its container. */
interface Place {
  readonly parent: { items: JsonNode[] } | { members: [string, JsonNode][] };
  readonly at: number;
}

const valueAt = ({ parent, at }: Place): JsonNode => ('items' in parent ? parent.items[at]! : parent.members[at]![1]);

function put({ parent, at }: Place, node: JsonNode): void {
  if ('items' in parent) parent.items[at] = node;
  else parent.members[at]![1] = node;
}

function placesOf(root: JsonNode): Place[] {
  const places: Place[] = [];
  const visit = (node: JsonNode): void => {
    if ('text' in node) return;
    const values = 'items' in node ? node.items : node.members.map(([, value]) => value);
    for (const [at, value] of values.entries()) {
      places.push({ parent: node, at });
      visit(value);
    }
  };
  visit(root);
  return places;
}

/** One of a format's own words, a border of any format, or another part of the same file. */
function anyValue(random: Random, places: readonly Place[], { values }: Vocabulary): JsonNode {
  const how = random.next();
  if (how < 0.3 && values.length > 0) return { text: random.pick(values) };
  if (how < 0.55) return { text: random.pick(NUMBERS) };
  if (how < 0.85) return { text: random.pick(OTHERS) };
  return cloneTree(valueAt(random.pick(places)));
}

const isNumber = (node: JsonNode): node is { text: string } => 'text' in node && /^-?\d/.test(node.text);
const isString = (node: JsonNode): node is { text: string } => 'text' in node && node.text.startsWith('"');

function changeNumber(random: Random, node: { text: string }): string {
  const value = Number(node.text);
  if (random.chance(0.3)) return random.pick(NUMBERS);
  if (random.chance(0.3)) return String(value * random.pick(FACTORS));
  const changed = value + random.pick(STEPS);
  return String(random.chance(0.8) ? Math.max(0, changed) : changed);
}

function changeString(random: Random, { text }: { text: string }): string {
  const inner = text.slice(1, -1);
  switch (random.below(6)) {
    case 0:
      return '""';
    case 1:
      return `"${inner.slice(0, random.below(inner.length + 1))}"`;
    case 2:
      return `"${inner.toUpperCase() === inner ? inner.toLowerCase() : inner.toUpperCase()}"`;
    case 3:
      return `"${(inner || 'x').repeat(random.pick(LENGTHS)).slice(0, 1 << 12)}"`;
    case 4:
      return `"${inner}${random.pick(['\\u0000', '\\ud800', '\u0301', ' ', '\\n', '\u{1f600}', '/'])}"`;
    default:
      return `"${random.pick([' ', '\ufeff', '.', '\\u0041', '\u212a'])}${inner}"`;
  }
}

/** One change of a tree's values, types, counts, order, names or nesting. */
function changeTree(random: Random, root: JsonNode, words: Vocabulary): JsonNode {
  const places = placesOf(root);
  if (places.length === 0) return { text: random.pick(OTHERS) };
  const place = random.pick(places);
  const { parent, at } = place;
  const value = valueAt(place);
  const how = random.next();
  if (how < 0.24) put(place, anyValue(random, places, words));
  else if (how < 0.44) {
    const numbers = places.filter((p) => isNumber(valueAt(p)));
    if (numbers.length === 0) put(place, anyValue(random, places, words));
    else {
      const number = random.pick(numbers);
      put(number, { text: changeNumber(random, valueAt(number) as { text: string }) });
    }
  } else if (how < 0.51) {
    const strings = places.filter((p) => isString(valueAt(p)));
    if (strings.length === 0) put(place, anyValue(random, places, words));
    else {
      const string = random.pick(strings);
      put(string, { text: changeString(random, valueAt(string) as { text: string }) });
    }
  } else if (how < 0.61) {
    if ('items' in parent) parent.items.splice(at, 1);
    else parent.members.splice(at, 1);
  } else if (how < 0.7) {
    const twin = random.chance(0.5) ? cloneTree(value) : anyValue(random, places, words);
    const to = random.below(('items' in parent ? parent.items : parent.members).length + 1);
    if ('items' in parent) parent.items.splice(to, 0, twin);
    else parent.members.splice(to, 0, [parent.members[at]![0], twin]);
  } else if (how < 0.77) {
    const inserted = anyValue(random, places, words);
    if ('items' in parent) parent.items.splice(at, 0, inserted);
    else parent.members.splice(at, 0, [words.keys.length > 0 ? random.pick(words.keys) : '"x"', inserted]);
  } else if (how < 0.83) {
    const other = random.pick(places);
    const held = valueAt(other);
    put(other, cloneTree(value));
    put(place, cloneTree(held));
  } else if (how < 0.9) {
    const objects = places.flatMap((p) =>
      'members' in p.parent ? [p as Place & { parent: { members: [string, JsonNode][] } }] : [],
    );
    if (objects.length > 0) {
      const member = random.pick(objects);
      const keys = [...words.keys, ...member.parent.members.map(([key]) => key)];
      const key = member.parent.members[member.at]![0];
      member.parent.members[member.at]![0] = random.chance(0.5)
        ? random.pick(keys)
        : changeString(random, { text: key });
    }
  } else if (how < 0.94) {
    const inner = 'text' in value ? value : ('items' in value ? value.items : value.members.map(([, v]) => v))[0];
    if (random.chance(0.5) && inner) put(place, inner);
    else put(place, random.chance(0.5) ? { items: [value] } : { members: [['"x"', value]] });
  } else if (how < 0.98) {
    // Repeats of what holds repeats multiply: some 200 kB, and no more.
    const count = Math.min(random.pick(COUNTS), 2 + Math.floor(200_000 / printTree(value).length));
    for (let n = 1; n < count; n++) {
      if ('items' in parent) parent.items.splice(at, 0, cloneTree(value));
      else parent.members.splice(at, 0, [random.chance(0.5) ? parent.members[at]![0] : `"${n}"`, cloneTree(value)]);
    }
  } else {
    const depth = random.pick(DEPTHS);
    put(place, {
      text: random.chance(0.5)
        ? '['.repeat(depth) + ']'.repeat(depth)
        : `${'{"x":'.repeat(depth)}1${'}'.repeat(depth)}`,
    });
  }
  return root;
}

const TEXT_TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]|[a-z]+|\s+|./gsu;
const MARKS = [...',:{}[]"\\', ' ', '\t', '\n', '\u00a0', '\ufeff', '//', '/**/', '\u0000'];

/** The spelling changed: marks lost, doubled, moved. Most of these are no longer JSON. */
function changeSpelling(random: Random, text: string): string {
  const tokens = text.match(TEXT_TOKEN) ?? [];
  const at = random.below(tokens.length + 1);
  const how = random.below(4);
  if (how === 0) tokens.splice(at, 1 + random.below(12));
  else if (how === 1) tokens.splice(at, 0, random.pick(MARKS));
  else if (how === 2) tokens[Math.min(at, tokens.length - 1)] = random.pick(tokens);
  else tokens.splice(at, 0, random.pick(tokens));
  return tokens.join('');
}

/**
 * A mutant of a JSON text, as bytes: 19 of 20 change the tree in one to four places; the others change the spelling, single
 * bytes or the end.
 */
export function mutateJson(random: Random, seed: JsonNode, words: Vocabulary): Uint8Array {
  const text = printTree(seed);
  const kind = random.next();
  if (kind >= 0.05) {
    let changed = text;
    while (changed === text) {
      let root = cloneTree(seed);
      for (let n = random.chance(0.65) ? 1 : 2 + random.below(3); n > 0; n--) root = changeTree(random, root, words);
      changed = printTree(root);
    }
    return new TextEncoder().encode(changed);
  }
  if (kind < 0.03) return new TextEncoder().encode(changeSpelling(random, text));
  const bytes = new TextEncoder().encode(text);
  if (kind < 0.04) for (let n = 1 + random.below(3); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
  else return bytes.slice(0, random.below(bytes.length));
  return bytes;
}

/** The structure of a JSON file: its tree without spaces, null where it has none. */
export function jsonStructure(bytes: Uint8Array): string | null {
  return parseTree(new TextDecoder().decode(bytes))?.canonical ?? null;
}

/** Bytes of a JSON file without the space at its end. */
export function jsonLength(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1]! <= 0x20) end--;
  return end;
}

export function treeOf(text: string): JsonNode {
  const tree = parseTree(text);
  if (!tree) throw new Error(`a seed must be JSON: ${text.slice(0, 80)}`);
  return tree.root;
}
