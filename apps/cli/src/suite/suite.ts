import { stat } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import type { Engine, Loaded, Speed, Work } from './engine.ts';
import { limitsOf } from './limits.ts';
import { llamaCpp } from './llama-cpp.ts';
import { type CostedModel, oursInChromium, oursInNode } from './ours.ts';
import { type EngineSpeed, type SuiteReport, type SuiteRow, summarize, targetsOf } from './report.ts';
import { wllama } from './wllama.ts';

/** The peers that `--against` names. */
export const PEERS: Readonly<Record<string, Engine>> = { wllama, 'llama.cpp': llamaCpp };

/** A file to measure. */
export interface SuiteCase {
  readonly model: string;
  readonly dtype: string;
  readonly threads: number;
  /** Makes the GGUF file where it is missing, and says where it lies. */
  readonly file: () => Promise<string>;
}

export interface SuiteOptions extends Work {
  readonly cases: readonly SuiteCase[];
  /** Names of {@link PEERS}. */
  readonly against: readonly string[];
  /** Measure us in Chromium too. */
  readonly chromium: boolean;
  readonly repeats: number;
  readonly signal: AbortSignal;
  /** Called before each measurement with the share of them that is done. */
  readonly onProgress: (share: number, what: string) => void;
  /** Called after each row. */
  readonly onRow: (row: SuiteRow) => void;
}

/**
 * Measures each file on all engines in turn, `repeats` times round, the limits of the machine between them: whatever else
 * the machine does meets all alike.
 */
export async function suite(options: SuiteOptions): Promise<SuiteReport> {
  const { cases, against, chromium, repeats, promptTokens, genTokens, signal, onRow, onProgress } = options;
  const engines = [oursInNode, ...(chromium ? [oursInChromium] : []), ...against.map((name) => PEERS[name]!)];
  const total = cases.length * (1 + repeats) * engines.length;
  let done = 0;
  const rows: SuiteRow[] = [];
  for (const one of cases) {
    const file = await one.file();
    const tell = (engine: Engine): void =>
      onProgress(done++ / total, `${one.model} ${one.dtype}, ${one.threads} threads, ${engine.name}`);
    const loaded: Loaded[] = [];
    const speeds: Speed[][] = engines.map(() => []);
    const limits = [];
    try {
      for (const engine of engines) {
        tell(engine);
        const model = await engine.load(file, one.threads, { promptTokens, genTokens }, signal);
        loaded.push(model);
        // Once unmeasured: compilers optimise, caches fill.
        await model.measure({ promptTokens: Math.min(64, promptTokens), genTokens: Math.min(16, genTokens) }, signal);
      }
      for (let i = 0; i < repeats; i++) {
        limits.push(await limitsOf(one.threads, signal));
        for (const [at, engine] of engines.entries()) {
          tell(engine);
          signal.throwIfAborted();
          speeds[at]!.push(await loaded[at]!.measure({ promptTokens, genTokens }, signal));
        }
      }
      const { costs } = loaded[0] as CostedModel;
      const fileBytes = (await stat(file)).size;
      rows.push(rowOf(one, fileBytes, engines, speeds, limits, costs, promptTokens));
      onRow(rows.at(-1)!);
    } catch (error) {
      // What was closed under somebody's hands says so; the reason is that it was to be closed.
      signal.throwIfAborted();
      throw error;
    } finally {
      for (const model of loaded) await model.close();
    }
  }
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    prompt_tokens: promptTokens,
    gen_tokens: genTokens,
    repeats,
    rows,
    targets: targetsOf(rows),
  };
}

function rowOf(
  { model, dtype, threads }: SuiteCase,
  fileBytes: number,
  engines: readonly Engine[],
  speeds: readonly (readonly Speed[])[],
  limits: readonly Awaited<ReturnType<typeof limitsOf>>[],
  { decodeBytes, flopsPerToken, flopsHead }: CostedModel['costs'],
  promptTokens: number,
): SuiteRow {
  const reached = Object.fromEntries(
    engines.map((engine, at): [string, EngineSpeed] => [
      engine.name,
      {
        version: engine.version,
        prefill_tok_s: summarize(speeds[at]!.map(({ prefill }) => prefill)),
        decode_tok_s: summarize(speeds[at]!.map(({ decode }) => decode)),
      },
    ]),
  );
  const read = summarize(limits.map(({ readGbS }) => readGbS)).median;
  const flops = summarize(limits.map(({ f32GflopS }) => f32GflopS)).median;
  const dots = summarize(limits.map(({ dotGopS }) => dotGopS)).median;
  const node = reached.node!;
  const against = Object.fromEntries(
    engines
      .filter(({ name }) => name in PEERS)
      .map(({ name }) => {
        // wllama runs in a browser: it is met there.
        const ours = (name === 'wllama' && reached.chromium) || node;
        const peer = reached[name]!;
        return [
          name,
          {
            decode: ours.decode_tok_s.median / peer.decode_tok_s.median,
            prefill: ours.prefill_tok_s.median / peer.prefill_tok_s.median,
          },
        ];
      }),
  );
  return {
    model,
    dtype,
    threads,
    file_bytes: fileBytes,
    limits: { read_gb_s: read, f32_gflop_s: flops, dot_gop_s: dots },
    engines: reached,
    ratio_decode: (decodeBytes * node.decode_tok_s.median) / (1e9 * read),
    ratio_prefill: ((flopsPerToken + flopsHead / promptTokens) * node.prefill_tok_s.median) / (1e9 * flops),
    against,
  };
}
