import { crc32, MambaError } from '@mamba-ts/tensor';
import type { SessionSettings, Turn } from './types.ts';

/*
 * A saved session, little-endian:
 *   8 bytes   magic "MTSSESSN"
 *   u32       version (1)
 *   u32       length of the header in bytes
 *   header    UTF-8 JSON { turns: Turn[], settings: SessionSettings with a seed, states: [bytes of each] }
 *   i32[]     token ids: of each turn first the prompt's, then the answer's
 *   states    saved states (MTSSTATE) one after another, each after a beginning of the ids: the last is the session's,
 *             those before it, where there are any, stand at the beginning of the last turn and of its answer
 *   u32       CRC-32 (IEEE 802.3) of all before it
 */
const MAGIC = new TextEncoder().encode('MTSSESSN');
const VERSION = 1;
const PREFIX = MAGIC.length + 8;

export interface TurnWithIds {
  readonly turn: Turn;
  /** The prompt's, then the answer's. */
  readonly ids: Int32Array;
}

export interface SessionContent {
  readonly turns: readonly TurnWithIds[];
  readonly settings: SessionSettings & { readonly seed: number };
  /** Saved states, at least one; the last is the session's. */
  readonly states: readonly Uint8Array[];
}

type Bias = Readonly<Record<string, number>>;

/** JSON has no infinite numbers: a forbidden id has the bias "-Infinity". */
const biasToJson = (bias: Bias): Record<string, number | string> =>
  Object.fromEntries(Object.entries(bias).map(([id, value]) => [id, Number.isFinite(value) ? value : String(value)]));

const biasFromJson = (bias: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(bias).map(([id, value]) => [id, value === '-Infinity' ? Number.NEGATIVE_INFINITY : value]),
  );

export function encodeSession({ turns, settings, states }: SessionContent): Uint8Array {
  const { logitBias } = settings;
  const header = new TextEncoder().encode(
    JSON.stringify({
      turns: turns.map(({ turn }, index) => parseTurn(turn, index)),
      settings: { ...settings, ...(logitBias ? { logitBias: biasToJson(logitBias) } : {}) },
      states: states.map(({ length }) => length),
    }),
  );
  const count = turns.reduce((sum, { ids }) => sum + ids.length, 0);
  const stateBytes = states.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(PREFIX + header.length + 4 * count + stateBytes + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, header.length, true);
  bytes.set(header, PREFIX);
  let at = PREFIX + header.length;
  for (const { ids } of turns) {
    for (const id of ids) {
      view.setInt32(at, id, true);
      at += 4;
    }
  }
  for (const state of states) {
    bytes.set(state, at);
    at += state.length;
  }
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return bytes;
}

function mangled(what: string): never {
  throw new MambaError('SESSION_FORMAT', `this is no intact saved session: ${what}. Save the session again.`);
}

const KINDS: readonly unknown[] = ['system', 'text', 'answer'];
const REASONS: readonly unknown[] = ['length', 'stop', 'eos', 'aborted'];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseTurn(value: unknown, index: number): Turn {
  const where = `turn ${index}`;
  if (!isObject(value)) return mangled(`${where} is no object`);
  const { kind, prompt, answer, rest, promptTokens, answerTokens, stopReason, seed } = value;
  for (const text of [prompt, answer, rest]) if (typeof text !== 'string') mangled(`${where} lacks a text`);
  if (!isCount(promptTokens) || !isCount(answerTokens)) return mangled(`${where} has wrong counts`);
  if (!KINDS.includes(kind) || (kind === 'system' && index > 0)) mangled(`${where} is of no known kind`);
  const answered = kind === 'answer';
  if (answered ? !REASONS.includes(stopReason) : stopReason !== null) mangled(`${where} ended for no known reason`);
  if (answered ? !isCount(seed) : seed !== null) mangled(`${where} has no seed`);
  if (!answered && (answerTokens > 0 || answer !== '' || rest !== '')) mangled(`${where} has an answer to nothing`);
  return { kind, prompt, answer, rest, promptTokens, answerTokens, stopReason, seed } as Turn;
}

function parseHeader(bytes: Uint8Array): { turns: Turn[]; settings: SessionContent['settings']; states: number[] } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    mangled('its header is not JSON');
  }
  if (!isObject(header)) return mangled('its header is no object');
  const { turns, settings, states } = header;
  if (!Array.isArray(turns)) return mangled('it has no turns');
  if (!isObject(settings) || !isCount(settings.seed)) return mangled('it has no settings with a seed');
  if (!Array.isArray(states) || states.length === 0 || !states.every(isCount)) return mangled('it has no states');
  if (isObject(settings.logitBias)) settings.logitBias = biasFromJson(settings.logitBias);
  return { turns: turns.map(parseTurn), settings: settings as unknown as SessionContent['settings'], states };
}

/**
 * Throws `SESSION_FORMAT` or `SESSION_VERSION`. The settings' values and the states are the caller's to check: only a
 * model knows what fits it.
 */
export function decodeSession(bytes: Uint8Array, vocabSize: number): SessionContent {
  if (!(bytes instanceof Uint8Array)) return mangled('it is no Uint8Array');
  if (bytes.length < PREFIX + 4) mangled(`${bytes.length} bytes are too few`);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) mangled('it does not begin with MTSSESSN');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new MambaError(
      'SESSION_VERSION',
      `the saved session is of version ${version}, this program reads version ${VERSION}`,
    );
  }
  const end = bytes.length - 4;
  let at = PREFIX + view.getUint32(12, true);
  if (at > end) mangled('its header reaches past its end');
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) mangled('its checksum is wrong');
  const { turns, settings, states } = parseHeader(bytes.subarray(PREFIX, at));
  // Sums of counts, each below 2^53, may round, but never down to the few bytes that are there.
  const count = turns.reduce((sum, turn) => sum + turn.promptTokens + turn.answerTokens, 0);
  if (at + 4 * count + states.reduce((sum, length) => sum + length, 0) !== end) mangled('its length does not fit');
  const withIds = turns.map((turn) => {
    const ids = new Int32Array(turn.promptTokens + turn.answerTokens);
    for (let i = 0; i < ids.length; i++, at += 4) {
      const id = view.getInt32(at, true);
      if (id < 0 || id >= vocabSize) mangled(`token id ${id} is not in the vocabulary of ${vocabSize}`);
      ids[i] = id;
    }
    return { turn, ids };
  });
  const files = states.map((length) => {
    at += length;
    return bytes.subarray(at - length, at);
  });
  return { turns: withIds, settings, states: files };
}
