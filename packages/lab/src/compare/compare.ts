import type { LanguageModel, LoadedLanguageModel, State } from '@mamba-ts/layers';
import { createPause, MambaError } from '@mamba-ts/tensor';
import { type ComparedModel, type ComparePoint, type CompareReport, exponent, median, powerLaw } from './report.ts';

/** A loaded model that takes part. */
export interface Contestant {
  readonly name: string;
  readonly model: LanguageModel;
  /** Numbers in the weights. */
  readonly params: number;
  /** In memory. */
  readonly weightBytes: number;
  /** The most tokens that the model takes (a Transformer's context); null or left out for no limit. */
  readonly contextLength?: number | null;
  /** Floating-point operations to read a text of `length` tokens from a fresh state. */
  operations(length: number): number;
}

/** A loaded model as it stands. */
export function contestantOf(name: string, model: LoadedLanguageModel): Contestant {
  const { parameters, weightBytes } = model.summary();
  const { contextLength } = model;
  const operations = (length: number): number => model.operations(length);
  return { name, model, params: parameters, weightBytes, contextLength, operations };
}

/** What is being measured now. */
export interface CompareProgress {
  readonly what: 'warm-up' | 'prefill' | 'decode';
  readonly model: string;
  /** Tokens of the text. */
  readonly length: number;
  /** Share of the planned work, 0 to 1, by predicted time. */
  readonly share: number;
}

/** What to measure, and for how long. */
export interface CompareOptions {
  /** Tokens of the texts, ascending. */
  readonly lengths: readonly number[];
  /** Prefills of each length, as far as the budget goes. Default 3. */
  readonly repeats?: number;
  /**
   * What does not fit into so many seconds is left out, but for the shortest length; a length left out altogether (also one
   * past a model's context) is extrapolated. Default 600.
   */
  readonly budgetSeconds?: number;
  /** Ends it within one pass of at most `maxChunk` tokens by throwing the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called before each measurement. */
  readonly onProgress?: (progress: CompareProgress) => void;
  /** Called after each round with what is known so far; `decode_ms` is NaN until the first block of it. */
  readonly onReport?: (report: CompareReport) => void;
  /** Told once for each length of a model that the budget left out, or that is past its context. */
  readonly onLeftOut?: (model: string, length: number, because: 'budget' | 'context') => void;
  /** Milliseconds. Default: `performance.now`. */
  readonly now?: () => number;
}

/** Decode is measured in nine blocks at each depth, all depths and models in turn, so that drift hits all alike. */
const DECODE_BLOCKS = 9;
/** Tokens timed per block, after one that is not: it brings weights and state into the caches. */
const DECODE_TOKENS = 8;

/** What is known of one contestant. */
interface Track {
  readonly contestant: Contestant;
  /** By length: prefill times, decode times per token, and the state after the text. */
  readonly prefill: Map<number, number[]>;
  readonly decode: Map<number, number[]>;
  readonly states: Map<number, State>;
  readonly leftOut: Set<number>;
  stateBytes: (length: number) => number;
  /** Milliseconds per decoded token, first impression. */
  firstDecode: number;
  /** Milliseconds of the warm-up prefill, and its tokens. */
  warm: { readonly x: number; readonly y: number };
}

const contextOf = ({ contextLength }: Contestant): number => contextLength ?? Number.POSITIVE_INFINITY;

/** Any ids do: speed does not depend on them. */
function promptPiece(from: number, length: number, vocabSize: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => ((from + i) * 7919 + 13) % vocabSize);
}

async function feed(model: LanguageModel, length: number, state: State, signal?: AbortSignal): Promise<void> {
  const pause = createPause();
  for (let at = 0; at < length; at += model.maxChunk) {
    await pause();
    signal?.throwIfAborted();
    const piece = promptPiece(at, Math.min(model.maxChunk, length - at), model.vocabSize);
    await model.forward(piece, state, at + piece.length === length ? 'last' : 'none');
  }
}

async function decode(model: LanguageModel, tokens: number, state: State, signal?: AbortSignal): Promise<void> {
  const id = new Int32Array(1);
  const pause = createPause();
  for (let i = 0; i < tokens; i++) {
    await pause();
    signal?.throwIfAborted();
    id[0] = (i * 31) % model.vocabSize;
    await model.forward(id, state, 'last');
  }
}

/**
 * Measures each contestant at each length: time to read the text, time per further token, state or cache, operations.
 * Repeats go round all models and lengths in turn. Throws `INVALID_OPTION`, what `forward` throws, the signal's reason.
 */
export async function compare(contestants: readonly Contestant[], options: CompareOptions): Promise<CompareReport> {
  const { lengths, repeats = 3, budgetSeconds = 600, signal, onProgress, onReport, onLeftOut } = options;
  if (contestants.length === 0) throw new MambaError('INVALID_OPTION', 'compare needs at least one model');
  if (lengths.length === 0 || lengths.some((n, i) => !Number.isSafeInteger(n) || n < 1 || n <= (lengths[i - 1] ?? 0)))
    throw new MambaError('INVALID_OPTION', `lengths must be ascending whole numbers of at least 1, found [${lengths}]`);
  const now = options.now ?? (() => performance.now());
  const deadline = now() + 1000 * budgetSeconds;
  const tracks: Track[] = [];
  let planned = 1;
  let done = 0;
  const tell = (what: CompareProgress['what'], { name }: Contestant, length: number): void =>
    onProgress?.({ what, model: name, length, share: Math.min(1, done / planned) });
  const timed = async (work: () => Promise<void>): Promise<number> => {
    const started = now();
    await work();
    const ms = now() - started;
    done += ms;
    return ms;
  };

  try {
    for (const contestant of contestants) {
      tell('warm-up', contestant, lengths[0]!);
      tracks.push(await warmUp(contestant, Math.min(256, lengths.at(-1)!), timed, signal));
    }
    const decodeCost = (track: Track): number =>
      1.25 * DECODE_BLOCKS * (DECODE_TOKENS + 1) * track.firstDecode * lengths.length;
    const decodeReserve = tracks.reduce((sum, track) => sum + decodeCost(track), 0);
    const predicted = (track: Track, length: number): number => {
      const known = [...track.prefill].map(([x, times]) => ({ x, y: median(times) }));
      const exact = known.find(({ x }) => x === length);
      if (exact) return exact.y;
      // Never below linear: the first points are dominated by what does not depend on the length.
      const curve = known.length > 0 ? known : [track.warm];
      return Math.max(powerLaw(curve, length, 1), powerLaw(curve.slice(-1), length, 1));
    };
    planned = done + decodeReserve;
    for (const track of tracks) for (const length of lengths) planned += repeats * predicted(track, length);

    for (let round = 0; round < repeats; round++) {
      for (const length of lengths) {
        for (const track of tracks) {
          const { contestant } = track;
          // The shortest length is measured once, whatever the budget: without it there is nothing to extrapolate from.
          const owed = round === 0 && length === lengths[0];
          const past = length > contextOf(contestant);
          if (past || (!owed && now() + predicted(track, length) + decodeReserve > deadline)) {
            if (round === 0) {
              track.leftOut.add(length);
              onLeftOut?.(contestant.name, length, past ? 'context' : 'budget');
            }
            continue;
          }
          if (track.leftOut.has(length)) continue;
          tell('prefill', contestant, length);
          const state = contestant.model.createState();
          try {
            const ms = await timed(() => feed(contestant.model, length, state, signal));
            track.prefill.set(length, [...(track.prefill.get(length) ?? []), ms]);
          } catch (error) {
            state.dispose();
            throw error;
          }
          if (track.states.has(length)) state.dispose();
          else track.states.set(length, state);
        }
      }
      onReport?.(report(tracks, lengths));
    }

    for (let block = 0; block < DECODE_BLOCKS; block++) {
      for (const length of lengths) {
        for (const track of tracks) {
          const start = track.states.get(length);
          if (!start || length + 1 + DECODE_TOKENS > contextOf(track.contestant)) continue;
          tell('decode', track.contestant, length);
          const { model } = track.contestant;
          const state = start.clone();
          try {
            await decode(model, 1, state, signal);
            const ms = await timed(() => decode(model, DECODE_TOKENS, state, signal));
            track.decode.set(length, [...(track.decode.get(length) ?? []), ms / DECODE_TOKENS]);
          } finally {
            state.dispose();
          }
        }
      }
      onReport?.(report(tracks, lengths));
    }
    return report(tracks, lengths);
  } finally {
    for (const { states } of tracks) for (const state of states.values()) state.dispose();
  }
}

/** A prefill and some tokens unmeasured (the engine's optimising tier compiles meanwhile), then the first impression. */
async function warmUp(
  contestant: Contestant,
  length: number,
  timed: (work: () => Promise<void>) => Promise<number>,
  signal?: AbortSignal,
): Promise<Track> {
  const { model } = contestant;
  const fresh = model.createState();
  const empty = fresh.byteLength;
  try {
    await timed(() => feed(model, length, fresh, signal));
    await timed(() => decode(model, 16, fresh, signal));
  } finally {
    fresh.dispose();
  }
  const state = model.createState();
  try {
    const ms = await timed(() => feed(model, length, state, signal));
    const firstDecode = (await timed(() => decode(model, 4, state, signal))) / 4;
    const perToken = (state.byteLength - empty) / (length + 4);
    return {
      contestant,
      prefill: new Map(),
      decode: new Map(),
      states: new Map(),
      leftOut: new Set(),
      stateBytes: (tokens) => empty + perToken * tokens,
      firstDecode,
      warm: { x: length, y: ms },
    };
  } finally {
    state.dispose();
  }
}

function report(tracks: readonly Track[], lengths: readonly number[]): CompareReport {
  return { models: tracks.map((track) => reportModel(track, lengths)) };
}

function reportModel(track: Track, lengths: readonly number[]): ComparedModel {
  const { contestant } = track;
  const known = (times: ReadonlyMap<number, number[]>): { x: number; y: number }[] =>
    lengths.flatMap((x) => (times.has(x) ? [{ x, y: median(times.get(x)!) }] : []));
  const [prefill, decoded] = [known(track.prefill), known(track.decode)];
  const points = lengths.flatMap((length): ComparePoint[] => {
    const times = track.prefill.get(length);
    if (!times && (!track.leftOut.has(length) || prefill.length === 0)) return [];
    const at = (curve: { x: number; y: number }[], alone: number): number =>
      curve.find(({ x }) => x === length)?.y ?? powerLaw(curve, length, alone);
    return [
      {
        length,
        prefill_ms: at(prefill, 1),
        decode_ms: at(decoded, 0),
        state_bytes: track.states.get(length)?.byteLength ?? Math.round(track.stateBytes(length)),
        flops: contestant.operations(length),
        repeats: times?.length ?? 0,
        measured: times !== undefined,
      },
    ];
  });
  const between = prefill.filter(({ x }) => x === 2048 || x === 8192);
  return {
    name: contestant.name,
    params: contestant.params,
    weight_bytes: contestant.weightBytes,
    points,
    prefill_exponent: exponent(prefill),
    decode_exponent: exponent(decoded),
    exponent_2048_8192: exponent(between),
  };
}
