import type { TextSteps } from './decoder.ts';
import { asFlag, asObject, asText, type JsonObject, malformed, onlyFields, unsupported } from './json.ts';
import type { Place } from './model.ts';
import { normalizeNfc } from './normalize.ts';
import { flatten, parseByteLevel } from './parse-components.ts';

// What changes text itself: the normalizer before the model, the decoder after it.

/** Applied to each piece between added tokens. */
export type Normalize = (text: string, place: Place) => string;

/** A prefix of a text: one character as a rule. */
const MAX_PREFIX = 16;

export function parseNormalizer(value: unknown): Normalize {
  const steps = flatten(value, 'normalizer', 'normalizers').map(([part, path]): Normalize => {
    const object = asObject(part, path);
    switch (object.type) {
      case 'NFC':
        onlyFields(object, path, ['type']);
        return normalizeNfc;
      case 'Prepend': {
        onlyFields(object, path, ['type', 'prepend']);
        const prefix = asText(object.prepend, `${path}.prepend`);
        if (prefix.length > MAX_PREFIX) throw malformed(`${path}.prepend`, `a text of at most ${MAX_PREFIX}`, prefix);
        return (text, place) => (text === '' || place === 'continued' ? text : prefix + text);
      }
      case 'Replace': {
        const { pattern, content } = parseReplace(object, path);
        return (text) => text.replaceAll(pattern, () => content);
      }
      default:
        throw unsupported(`${path}.type`, object.type, ['NFC', 'Prepend', 'Replace', 'Sequence', 'null']);
    }
  });
  return (text, place) => steps.reduce((changed, step) => step(changed, place), text);
}

/** A text for a text, never a longer one: steps in a row must not let a text grow. */
function parseReplace(object: JsonObject, path: string): { pattern: string; content: string } {
  onlyFields(object, path, ['type', 'pattern', 'content']);
  const from = asObject(object.pattern, `${path}.pattern`);
  onlyFields(from, `${path}.pattern`, ['String']);
  const pattern = asText(from.String, `${path}.pattern.String`);
  const content = asText(object.content, `${path}.content`);
  if (pattern === '') throw malformed(`${path}.pattern.String`, 'a string that is not empty', pattern);
  if (content.length > pattern.length) {
    throw unsupported(`${path}.content`, content, ['texts that are no longer than the pattern']);
  }
  return { pattern, content };
}

const DECODERS = [
  'ByteLevel',
  'Metaspace',
  'Replace, ByteFallback, Fuse and Strip (some of them, in this order)',
  'Sequence of these',
];

/** `null` for ByteLevel, whose flags do not change what it does. */
export function parseDecoder(value: unknown): TextSteps | null {
  const parts = flatten(value, 'decoder', 'decoders');
  if (parts.length === 0) throw unsupported('decoder', value, DECODERS);
  const replacements: { pattern: string; content: string }[] = [];
  let byteFallback = false;
  let metaspace: TextSteps['metaspace'] = null;
  let strip: TextSteps['strip'] = null;
  let done = 0;
  /** Each kind after those before it: Strip without Fuse, say, would strip every token. */
  const inOrder = (step: number, path: string, type: unknown): void => {
    if (step < done || (step === 3 && done !== 2)) throw unsupported(`${path}.type (here)`, type, DECODERS);
    done = step;
  };
  for (const [part, path] of parts) {
    const object = asObject(part, path);
    switch (object.type) {
      case 'ByteLevel':
        if (parts.length > 1) throw unsupported('decoder', value, DECODERS);
        parseByteLevel(object, path);
        return null;
      case 'Replace':
        inOrder(0, path, object.type);
        replacements.push(parseReplace(object, path));
        break;
      case 'ByteFallback':
        inOrder(1, path, object.type);
        onlyFields(object, path, ['type']);
        byteFallback = true;
        break;
      case 'Fuse':
        inOrder(2, path, object.type);
        onlyFields(object, path, ['type']);
        break;
      case 'Strip':
        inOrder(3, path, object.type);
        if (strip) throw unsupported('a second Strip', path, DECODERS);
        strip = parseStrip(object, path);
        break;
      case 'Metaspace': {
        if (parts.length > 1) throw unsupported('decoder', value, DECODERS);
        const { replacement, prepend } = parseMetaspace(object, path);
        metaspace = { replacement, stripFirst: prepend !== 'never' };
        break;
      }
      default:
        throw unsupported(`${path}.type`, object.type, DECODERS);
    }
  }
  return { replacements, byteFallback, strip, metaspace };
}

function parseStrip(object: JsonObject, path: string): { content: string; count: number } {
  onlyFields(object, path, ['type', 'content', 'start', 'stop']);
  const content = asText(object.content, `${path}.content`);
  if (content.length !== 1) throw unsupported(`${path}.content`, content, ['one character below U+10000']);
  const { start, stop } = object;
  if (typeof start !== 'number' || !Number.isInteger(start) || start < 0) {
    throw malformed(`${path}.start`, 'an integer that is not negative', start);
  }
  if (stop !== 0) throw unsupported(`${path}.stop`, stop, ['0']);
  return { content, count: start };
}

export interface Metaspace {
  readonly replacement: string;
  readonly prepend: 'always' | 'first' | 'never';
  /** Words begin with the replacement; else the text is one word. */
  readonly split: boolean;
}

export function parseMetaspace(object: JsonObject, path: string): Metaspace {
  onlyFields(object, path, ['type', 'replacement', 'str_rep', 'add_prefix_space', 'prepend_scheme', 'split']);
  const replacement = asText(object.replacement, `${path}.replacement`);
  if ([...replacement].length !== 1) throw malformed(`${path}.replacement`, 'one character', replacement);
  const prepend = asText(object.prepend_scheme ?? 'always', `${path}.prepend_scheme`);
  if (prepend !== 'always' && prepend !== 'first' && prepend !== 'never') {
    throw malformed(`${path}.prepend_scheme`, 'always, first or never', prepend);
  }
  // Of old files; where it contradicts the scheme nobody can say which was meant.
  const prefix = asFlag(object.add_prefix_space, `${path}.add_prefix_space`, prepend !== 'never');
  if (prefix !== (prepend !== 'never')) {
    throw malformed(`${path}.add_prefix_space`, `what prepend_scheme = ${prepend} says`, prefix);
  }
  return { replacement, prepend, split: asFlag(object.split, `${path}.split`, true) };
}
