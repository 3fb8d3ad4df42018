import type { WasmBuild } from '@mamba-ts/kernels';
import type { DType, UpdateSkipping } from '@mamba-ts/tensor';
import { interruptible, UsageError } from '../failure.ts';
import { loadBare, type ModelOptions, modelSource, printJson } from '../model.ts';
import { note } from '../progress.ts';
import { limitsOf } from '../suite/limits.ts';
import { type Summary, summarize } from '../suite/report.ts';
import { measureSpeed } from '../suite/speed.ts';

interface BenchOptions extends ModelOptions {
  readonly random?: string;
  readonly dtype: DType;
  readonly promptTokens: number;
  readonly genTokens: number;
  readonly repeat: number;
  readonly json?: boolean;
}

/** The build whose limits a backend is held against; another backend's against the best that this engine runs. */
const BUILDS: Readonly<Record<string, WasmBuild>> = { 'wasm-simd': 'simd', 'wasm-relaxed': 'relaxed' };

const skippedShare = ({ updates, skipped }: UpdateSkipping): number => skipped / Math.max(1, updates);

/** Milliseconds for one more load, whose memory is given up again. */
async function timeLoad(options: BenchOptions, signal: AbortSignal): Promise<number> {
  const started = performance.now();
  const model = await loadBare(options, signal);
  const ms = performance.now() - started;
  model.dispose();
  model.backend.dispose();
  return ms;
}

/** `mamba bench`: speed, and how near it comes to what this machine can do in the same process. */
export async function bench(options: BenchOptions): Promise<void> {
  if (options.random !== undefined && options.model !== undefined)
    throw new UsageError('give --model or --random, not both');
  await interruptible(async (signal) => {
    const started = performance.now();
    const loaded = await loadBare(options, signal);
    const loadMs = [performance.now() - started];
    // Once unmeasured: the engine's optimising tier compiles the kernels meanwhile. What one model needs is known then,
    // before further loads and the limits' 512 MiB add to the process.
    await measureSpeed(loaded, { ...options, genTokens: Math.min(options.genTokens, 16) }, signal);
    const peak = process.resourceUsage().maxRSS / 1024;
    while (loadMs.length < options.repeat) loadMs.push(await timeLoad(options, signal));
    const { name, threads } = loaded.backend.describe();
    const build = BUILDS[name] ?? 'auto';
    const runs = [];
    const limits = [];
    for (let i = 0; i < options.repeat; i++) {
      limits.push(await limitsOf(threads, signal, build));
      runs.push(await measureSpeed(loaded, options, signal));
      note(
        `run ${i + 1} of ${options.repeat}: prefill ${runs[i]!.prefill.toFixed(1)}, decode ${runs[i]!.decode.toFixed(1)} tokens/s`,
      );
    }
    const prefill = summarize(runs.map((run) => run.prefill));
    const decode = summarize(runs.map((run) => run.decode));
    const readGbS = summarize(limits.map((limit) => limit.readGbS)).median;
    const f32GflopS = summarize(limits.map((limit) => limit.f32GflopS)).median;
    const dotGopS = summarize(limits.map((limit) => limit.dotGopS)).median;
    const { decodeBytes, flopsPerToken, flopsHead, parameters, stateBytes } = loaded.summary();
    const report = {
      model: options.random ?? (await modelSource(options.model)),
      ...(options.random === undefined ? {} : { dtype: options.dtype }),
      backend: name,
      threads,
      prompt_tokens: options.promptTokens,
      gen_tokens: options.genTokens,
      parameters,
      state_bytes: stateBytes,
      load_ms: summarize(loadMs),
      prefill_tok_s: prefill,
      decode_tok_s: decode,
      peak_mb: summarize([peak]),
      ...(loaded.skipping ? { skip_below: loaded.skipping.below, skipped: skippedShare(loaded.skipping) } : {}),
      limits: { read_gb_s: readGbS, f32_gflop_s: f32GflopS, dot_gop_s: dotGopS },
      ratio_decode: (decodeBytes * decode.median) / (1e9 * readGbS),
      ratio_prefill: ((flopsPerToken + flopsHead / options.promptTokens) * prefill.median) / (1e9 * f32GflopS),
    };
    if (options.json) printJson(report);
    else {
      const line = (name: string, { median, min, max }: Summary, unit: string): string =>
        `${name.padEnd(10)}${median.toFixed(1).padStart(9)} ${unit}   (${min.toFixed(1)} to ${max.toFixed(1)})\n`;
      process.stdout.write(
        `${line('load', report.load_ms, 'ms')}${line('prefill', prefill, 'tokens/s')}${line('decode', decode, 'tokens/s')}` +
          `decode uses ${(100 * report.ratio_decode).toFixed(0)} % of this machine's ${readGbS.toFixed(1)} GB/s, ` +
          `prefill ${(100 * report.ratio_prefill).toFixed(0)} % of its ${f32GflopS.toFixed(1)} GFLOP/s (WebAssembly, ${threads === 1 ? 'one thread' : `${threads} threads`})\n` +
          (loaded.skipping
            ? `${(100 * skippedShare(loaded.skipping)).toFixed(1)} % of the updates of the state skipped\n`
            : ''),
      );
    }
    loaded.dispose();
    loaded.backend.dispose();
  });
}
