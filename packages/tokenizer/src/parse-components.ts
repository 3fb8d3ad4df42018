import { DEEPSEEK3 } from './gguf-pre-tokenizers.ts';
import { asArray, asFlag, asId, asObject, asText, malformed, onlyFields, overLimit, unsupported } from './json.ts';
import type { Place } from './model.ts';
import { type Metaspace, parseMetaspace } from './parse-text.ts';
import { type Splitter, splitDeepseek3, splitGpt2, splitLlama3 } from './split.ts';
import { splitDigits, splitterOfClass } from './split-class.ts';

/** Sequences may hold sequences; this deep and no deeper, and this many parts in all. */
const MAX_DEPTH = 8;
const MAX_PARTS = 16;

/** Cuts a piece between added tokens into the words that the model sees, in order and never empty. */
export type PreTokenize = (piece: string, place: Place, emit: (word: string) => void) => void;

export interface PreTokenizer {
  readonly preTokenize: PreTokenize;
  /** Whether words are then written in byte characters (ByteLevel), which the model and the decoder must expect. */
  readonly byteLevel: boolean;
}

/** Special tokens around the text. */
export interface PostProcessor {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

// The split patterns in use, each with its scanner; patterns of one class have one for all (split-class.ts). Patterns of a
// file are compared, never run (see split.ts).
const LLAMA3_HEAD = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}";
const LLAMA3_TAIL = '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const PATTERNS: ReadonlyMap<string, Splitter> = new Map([
  ["'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", splitGpt2],
  [`${LLAMA3_HEAD}{1,3}${LLAMA3_TAIL}`, splitLlama3(3)],
  [`${LLAMA3_HEAD}${LLAMA3_TAIL}`, splitLlama3(1)],
  // With line ends spelled out, and as themselves.
  [DEEPSEEK3, splitDeepseek3],
  [DEEPSEEK3.replaceAll('\\r\\n', '\r\n'), splitDeepseek3],
]);

/** The parts of a possibly nested `{type: 'Sequence', [list]: [...]}`, in order. `null` is no part at all. */
export function flatten(value: unknown, path: string, list: string): [unknown, string][] {
  const parts: [unknown, string][] = [];
  const visit = (part: unknown, at: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw overLimit(`the depth of ${path}`, MAX_DEPTH, depth);
    const object = asObject(part, at);
    if (asText(object.type, `${at}.type`) !== 'Sequence') {
      if (parts.length === MAX_PARTS) throw overLimit(`the number of parts of ${path}`, MAX_PARTS, parts.length + 1);
      parts.push([part, at]);
      return;
    }
    onlyFields(object, at, ['type', list]);
    const inner = asArray(object[list], `${at}.${list}`);
    if (inner.length > MAX_PARTS) throw overLimit(`the number of parts of ${at}`, MAX_PARTS, inner.length);
    inner.forEach((each, i) => {
      visit(each, `${at}.${list}[${i}]`, depth + 1);
    });
  };
  if (value !== null && value !== undefined) visit(value, path, 1);
  return parts;
}

export function parsePreTokenizer(value: unknown): PreTokenizer {
  const parts = flatten(value, 'pre_tokenizer', 'pretokenizers');
  const last = parts.at(-1);
  if (last === undefined) return { preTokenize: (piece, _place, emit) => emit(piece), byteLevel: false };
  const supported = ['ByteLevel', 'Split and Digits followed by ByteLevel', 'Sequence of these', 'Metaspace', 'null'];
  const [part, path] = last;
  const object = asObject(part, path);
  if (object.type === 'Metaspace' && parts.length === 1) {
    return { preTokenize: metaspace(parseMetaspace(object, path)), byteLevel: false };
  }
  const splitters: Splitter[] = [];
  for (const [part, path] of parts.slice(0, -1)) splitters.push(parseSplit(part, path, supported));
  if (object.type !== 'ByteLevel') throw unsupported(`${path}.type (the last step)`, object.type, supported);
  const { addPrefixSpace, useRegex } = parseByteLevel(object, path);
  const beforePrefix = splitters.length;
  if (useRegex) splitters.push(splitGpt2);

  const cut = (piece: string, step: number, mayPrefix: boolean, emit: (word: string) => void): void => {
    const prefixed = mayPrefix && step === beforePrefix && piece[0] !== ' ';
    const text = prefixed ? ` ${piece}` : piece;
    const splitter = splitters[step];
    if (splitter === undefined) emit(text);
    else splitter(text, (start, end) => cut(text.slice(start, end), step + 1, mayPrefix, emit));
  };
  const preTokenize: PreTokenize = (piece, place, emit) => cut(piece, 0, addPrefixSpace && place !== 'continued', emit);
  return { preTokenize, byteLevel: true };
}

/** Spaces become the replacement, one is put before the text, and each begins a word. */
function metaspace({ replacement, prepend, split }: Metaspace): PreTokenize {
  return (piece, place, emit) => {
    let text = piece.replaceAll(' ', replacement);
    const prefixed = prepend === 'first' ? place === 'first' : prepend === 'always' && place !== 'continued';
    if (prefixed && !text.startsWith(replacement)) text = replacement + text;
    for (let start = 0; start < text.length; ) {
      const next = split ? text.indexOf(replacement, start + replacement.length) : -1;
      const end = next === -1 ? text.length : next;
      emit(text.slice(start, end));
      start = end;
    }
  };
}

function parseSplit(part: unknown, path: string, supported: readonly string[]): Splitter {
  const object = asObject(part, path);
  if (object.type === 'Digits') {
    onlyFields(object, path, ['type', 'individual_digits']);
    return splitDigits(asFlag(object.individual_digits, `${path}.individual_digits`));
  }
  if (object.type !== 'Split') throw unsupported(`${path}.type (before the last step)`, object.type, supported);
  onlyFields(object, path, ['type', 'pattern', 'behavior', 'invert']);
  const pattern = asObject(object.pattern, `${path}.pattern`);
  onlyFields(pattern, `${path}.pattern`, ['Regex']);
  const regex = asText(pattern.Regex, `${path}.pattern.Regex`);
  const splitter = PATTERNS.get(regex) ?? splitterOfClass(regex);
  if (splitter === undefined) {
    throw unsupported(`${path}.pattern.Regex`, regex, [
      'a class of characters, such as \\p{N}{1,3}',
      ...PATTERNS.keys(),
    ]);
  }
  if (asText(object.behavior, `${path}.behavior`) !== 'Isolated') {
    throw unsupported(`${path}.behavior`, object.behavior, ['Isolated']);
  }
  if (asFlag(object.invert, `${path}.invert`, false)) throw unsupported(`${path}.invert`, true, ['false']);
  return splitter;
}

export function parseByteLevel(value: unknown, path: string): { addPrefixSpace: boolean; useRegex: boolean } {
  const object = asObject(value, path);
  onlyFields(object, path, ['type', 'add_prefix_space', 'trim_offsets', 'use_regex']);
  asFlag(object.trim_offsets, `${path}.trim_offsets`); // offsets are not computed yet
  return {
    addPrefixSpace: asFlag(object.add_prefix_space, `${path}.add_prefix_space`),
    useRegex: asFlag(object.use_regex, `${path}.use_regex`, true),
  };
}

export function parsePostProcessor(value: unknown, isKnownId: (id: number) => boolean): PostProcessor {
  let prefix: number[] = [];
  let suffix: number[] = [];
  for (const [part, path] of flatten(value, 'post_processor', 'processors')) {
    const object = asObject(part, path);
    if (object.type === 'ByteLevel') {
      parseByteLevel(object, path); // moves offsets only
    } else if (object.type === 'TemplateProcessing') {
      const template = parseTemplate(part, path, isKnownId);
      prefix = [...template.prefix, ...prefix];
      suffix = [...suffix, ...template.suffix];
    } else {
      throw unsupported(`${path}.type`, object.type, ['ByteLevel', 'TemplateProcessing', 'Sequence', 'null']);
    }
  }
  return { prefix, suffix };
}

const MAX_TEMPLATE_PIECES = 64;
const MAX_TEMPLATE_IDS = 64;

function parseTemplate(value: unknown, path: string, isKnownId: (id: number) => boolean): PostProcessor {
  const object = asObject(value, path);
  onlyFields(object, path, ['type', 'single', 'pair', 'special_tokens']);
  const special = asObject(object.special_tokens, `${path}.special_tokens`);
  asArray(object.pair, `${path}.pair`); // pairs of texts are not encoded
  const pieces = asArray(object.single, `${path}.single`);
  if (pieces.length > MAX_TEMPLATE_PIECES) throw overLimit(`${path}.single`, MAX_TEMPLATE_PIECES, pieces.length);

  const sides: [number[], number[]] = [[], []];
  let sequences = 0;
  pieces.forEach((piece, i) => {
    const at = `${path}.single[${i}]`;
    const fields = asObject(piece, at);
    onlyFields(fields, at, ['SpecialToken', 'Sequence']);
    if (fields.Sequence !== undefined) {
      const id = asText(asObject(fields.Sequence, `${at}.Sequence`).id, `${at}.Sequence.id`);
      if (id !== 'A' || ++sequences > 1) throw malformed(at, 'the one sequence A of the template', id);
      return;
    }
    const name = asText(asObject(fields.SpecialToken, `${at}.SpecialToken`).id, `${at}.SpecialToken.id`);
    if (!Object.hasOwn(special, name)) throw malformed(at, `a key of ${path}.special_tokens`, name);
    const where = `${path}.special_tokens[${JSON.stringify(name)}]`;
    const ids = asArray(asObject(special[name], where).ids, `${where}.ids`);
    if (ids.length > MAX_TEMPLATE_IDS) throw overLimit(`${where}.ids`, MAX_TEMPLATE_IDS, ids.length);
    for (const raw of ids) {
      const id = asId(raw, `${where}.ids`);
      if (!isKnownId(id)) throw malformed(`${where}.ids`, 'ids of tokens in this file', id);
      sides[sequences]!.push(id);
    }
  });
  if (sequences === 0) throw malformed(`${path}.single`, 'a template with the sequence A', pieces);
  return { prefix: sides[0], suffix: sides[1] };
}
